"""Biprop: its ticket is a random network of signs whose measured accuracy is that of the network that was trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import DATA, PLAIN, REDUNDANT, Cut, bits, problem

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.grid import Grid
from lth_runner.distributions.hyperbolic import Hyperbolic
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform, SignedConstant
from lth_runner.distributions.normal import Normal
from lth_runner.distributions.signs import Signs
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.ticket import measure_ticket
from lth_runner.search import score_search
from lth_runner.search.biprop import Biprop
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn, Source

NORMAL = KaimingNormal(gain=2**0.5, density=1.0)
pytestmark = pytest.mark.usefixtures("one_numba_thread")
METHOD = Biprop(
    frozen=[], biases="zero",
    density=0.3, scope="layer", epochs=4, batch=32, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, validation=100,
    distribution=NORMAL, scores=KaimingUniform(gain=3**-0.5, density=1.0),
)  # fmt: skip


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[ScoreTraining]:
    """What the searches of a test trained with."""
    found: list[ScoreTraining] = []

    def remembered(*arguments: Any, binary: bool) -> ScoreTraining:
        found.append(ScoreTraining(*arguments, binary=binary))
        return found[-1]

    monkeypatch.setattr(score_search, "ScoreTraining", remembered)
    return found


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("network", [PLAIN, REDUNDANT])
def test_a_ticket_redraws_the_network_that_was_trained(
    network: Any, scope: str, tmp_path: Path, trainings: list[ScoreTraining]
) -> None:
    """Weights of one size and the drawn signs; layer by layer what the trained network held; accuracies are equal."""
    method, recorder = replace(METHOD, scope=scope), Memory(tmp_path)
    ticket = method.find(problem(network=network), recorder).ticket
    save_ticket(ticket, tmp_path / "ticket.safetensors")
    ticket = read_ticket(tmp_path / "ticket.safetensors")
    weights = {name: torch.from_numpy(w).float() for name, w in materialise(ticket).readings.items()}
    for name, weight in weights.items():
        assert size_of(ticket.weights[name]) > 0
        sizes = weight.abs()[torch.from_numpy(ticket.masks[name].dense())]
        drawn = method.space(problem(network=network)).drawn[name].draw(0).astype(np.float32)
        drawn = drawn[ticket.masks[name].dense()]
        assert len(sizes.unique()) == 1
        assert float(sizes[0]) == np.float32(np.abs(drawn).mean(dtype=np.float64))
        assert np.array_equal(np.sign(drawn), np.sign(weight.numpy()[ticket.masks[name].dense()]))
    (training,) = trainings
    rebuilt = network.module()
    rebuilt.load_state_dict(weights)
    held = training.outputs(DATA.test_inputs)
    torch.testing.assert_close(held, rebuilt(DATA.test_inputs), atol=1e-5, rtol=1e-4)
    if network is PLAIN:
        for name, weight in weights.items():
            assert torch.equal(training.effective[name], weight)
    measured = measure_ticket(
        materialise(ticket), problem(network=network), epsilon=0.01, outputs=False, approximates=False
    )
    assert measured["accuracy"] == recorder.lines[-1]["test_accuracy"]
    if network is PLAIN and scope == "layer":
        assert measured["accuracy"] > 0.25  # ten classes: guesses get as many of 100 right once in 10^5


@pytest.mark.parametrize("law", [NORMAL, KaimingUniform(gain=1.0, density=1.0), Hyperbolic(low=0.1, high=1.0)])
def test_signs_are_those_of_the_same_uniform_numbers(law: Any) -> None:
    """However close to the middle; there itself, which no stream gives, a weight counts as positive."""
    near = 0.5 + np.array([-0.499, -0.1, -1e-9, -(2.0**-53), 2.0**-53, 1e-9, 0.1, 0.499])  # 2^-53: a stream's nearest
    level = np.concatenate([near, Streams(0).uniform(("any",), 0, 1000)])
    fitted = law.fitted((20, 36), None)
    assert np.array_equal(np.sign(Signs(size=2.0).quantile(level)), np.sign(fitted.quantile(level)))
    middle = np.array([0.5])
    assert not (fitted.quantile(middle) < 0).any()
    assert (Signs(size=2.0).quantile(middle) > 0).all()


def size_of(source: Source) -> float:
    """Of weights of one size."""
    assert isinstance(source, Drawn)
    assert isinstance(source.distribution, Signs)
    return source.distribution.size


def test_weights_that_are_signs_already_make_it_edge_popup_times_one_size(tmp_path: Path) -> None:
    """Every alpha is the size drawn, whatever is kept."""
    method = replace(METHOD, distribution=SignedConstant(gain=2**0.5, density=1.0))
    ticket = method.find(problem(), Memory(tmp_path)).ticket
    for name, tensor in method.space(problem()).weights.items():
        assert size_of(ticket.weights[name]) == pytest.approx(size_of(tensor), rel=1e-6)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_exactly_as_many_weights_are_kept_as_asked_for(density: float, scope: str, tmp_path: Path) -> None:
    ticket = replace(METHOD, density=density, scope=scope, epochs=1).find(problem(), Memory(tmp_path)).ticket
    assert ticket.kept() == round(density * ticket.offered())
    measure_ticket(
        materialise(ticket), problem(), epsilon=0.01, outputs=False, approximates=False
    )  # a network of nothing can be rebuilt too


def test_given_weights_stay_as_drawn(tmp_path: Path) -> None:
    """They are not trained, so the network used them at their own sizes."""
    space = METHOD.space(problem())
    given = {"fc1.weight": Mask.pack(np.random.default_rng(0).random((20, 36)) < 0.5)}
    recorder = Memory(tmp_path)
    (found,) = METHOD.search(replace(space, given=given), [0.3], problem(), recorder)
    ticket = found.ticket
    assert ticket.weights["fc1.weight"] == space.weights["fc1.weight"]
    measured = measure_ticket(materialise(ticket), problem(), epsilon=0.01, outputs=False, approximates=False)
    assert measured["accuracy"] == recorder.lines[-1]["test_accuracy"]


def test_a_second_attempt_goes_on(tmp_path: Path) -> None:
    whole, recorder = METHOD.find(problem(), Memory(tmp_path / "whole")).ticket, Memory(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        METHOD.find(problem(), Cut(tmp_path, epoch=3))
    ticket = METHOD.find(problem(), recorder).ticket
    assert [label for label, _, _ in recorder.bars] == ["epoch 3/4", "epoch 4/4"]
    assert bits(ticket) == bits(whole)
    assert ticket.weights == whole.weights
    assert ticket.facts == whole.facts


@pytest.mark.parametrize("law", [Uniform(low=-1.0, high=1.5), Uniform(low=0.0, high=1.0), Grid(largest=8, step=0.125)])
def test_laws_without_a_sign_of_even_chance_are_refused(law: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"symmetric about 0.*set method/distribution=kaiming_normal"):
        replace(METHOD, distribution=law)
    space = METHOD.space(problem())
    foreign = {name: replace(tensor, distribution=law) for name, tensor in space.weights.items()}
    with pytest.raises(ConfigError, match="symmetric about 0"):
        replace(METHOD, epochs=1).search(replace(space, weights=foreign), [0.3], problem(), Memory(tmp_path))


@pytest.mark.parametrize("law", [Normal(std=0.1), Signs(size=2.0), Hyperbolic(low=0.01, high=1.0)])
def test_symmetric_laws_are_taken(law: Any) -> None:
    assert replace(METHOD, distribution=law).distribution == law


@pytest.mark.parametrize("wrong", [{"density": 1.5}, {"scope": "rows"}, {"epochs": 0}, {"learning_rate": 0.0}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(METHOD, **wrong)
