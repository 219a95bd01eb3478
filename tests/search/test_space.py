"""What is random, stored and given in a search, on modules of many kinds, from the first draw to the ticket's file."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modules import MODULES, Keywords, OwnLayer
from recorders import Memory
from searching import EDGE_POPUP, Cut, bits, problem

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.distributions.normal import Normal
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.ticket import measure_ticket
from lth_runner.networks.calling import adapted
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes, state_shapes
from lth_runner.problem import Problem
from lth_runner.search.biprop import Biprop
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.gem_miner import GemMiner
from lth_runner.search.random_pruning import RandomPruning
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.space import SearchSpace, random_space
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn, Stored
from lth_runner.ticket.ticket import Ticket

BIASED = FullyConnected(inputs=36, hidden=20, outputs=10, depth=2, biases=True)
SHORT: dict[str, Any] = {"epochs": 2, "batch": 32, "validation": 100}
COMMON = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)} | SHORT
METHODS = {
    "edge_popup": replace(EDGE_POPUP, **SHORT),
    "biprop": Biprop(**COMMON),
    "gem_miner": GemMiner(**{**COMMON, "scores": Uniform(low=0.0, high=1.0)}, penalty=0.0, period=1),
}


@dataclass(frozen=True, kw_only=True)
class Built:
    """An architecture of the tests."""

    name: str

    def module(self) -> torch.nn.Module:
        return MODULES[self.name]()


def posed(name: str, seed: int = 0) -> Problem:
    """A problem of the module: images, or for attention tokens."""
    if name != "attention":
        return problem(seed, network=Built(name=name))
    tokens = torch.randint(0, 12, (500, 5), generator=torch.Generator().manual_seed(0))
    labels = tokens[:, 0] % 10
    data = Dataset(
        name="tokens", train_inputs=tokens[:400], train_labels=labels[:400], test_inputs=tokens[400:],
        test_labels=labels[400:],
    )  # fmt: skip
    return problem(seed, network=Built(name=name), data=data)


def space(network: Any, **changes: Any) -> SearchSpace:
    settings: dict[str, Any] = {"target": None, "frozen": [], "biases": "zero", "seed": 0} | changes
    return random_space(network, Normal(std=0.1), settings.pop("target"), **settings)


def target(network: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.random(shape) if shape else np.array(7) for name, shape in state_shapes(network).items()}


def stored(found: SearchSpace | Ticket) -> dict[str, np.ndarray]:
    return {name: source.array for name, source in found.weights.items() if isinstance(source, Stored)}


@pytest.mark.parametrize("name", MODULES)
def test_parameters_of_two_axes_are_random_and_all_else_stands_as_it_starts(name: str) -> None:
    network = Built(name=name)
    found = space(network)
    assert found.weights.keys() == state_shapes(network).keys(), "tied ones once"
    assert found.scored == [key for key, shape in parameter_shapes(network).items() if len(shape) >= 2]
    for key, array in stored(found).items():
        if "bias" in key or key.endswith(("running_mean", "num_batches_tracked")):
            assert not array.any()
        else:
            assert (array == (0.5 if key == "scale" else 1)).all()
        source = found.weights[key]
        assert isinstance(source, Stored)
        assert source.origin == "initial"


def test_what_has_scores_of_each_kind() -> None:
    scored = {name: space(Built(name=name)).scored for name in MODULES}
    assert scored["own"] == ["matrix"]
    assert scored["residual"] == ["stem.weight", "inner.weight", "head.weight"]
    assert {"position", "embedding.weight", "encoder.self_attn.in_proj_weight"} < set(scored["attention"])
    assert "head.weight" not in scored["attention"], "tied to the embedding"


@pytest.mark.parametrize("name", ["attention", "own"])
def test_biases_may_have_scores(name: str) -> None:
    """Those of layers, with the fan of their layer's weight; not those of norms."""
    network = Built(name=name)
    biases = set(space(network, biases="scored").scored) - set(space(network).scored)
    own = {"own_bias"} if name == "own" else {
        "encoder.self_attn.in_proj_bias", "encoder.self_attn.out_proj.bias", "encoder.linear1.bias",
        "encoder.linear2.bias",
    }  # fmt: skip
    assert biases == own
    method = replace(METHODS["edge_popup"], biases="scored")
    laws = {key: source.distribution for key, source in method.space(posed("attention")).drawn.items()}
    assert laws["encoder.linear1.bias"] == laws["encoder.linear1.weight"]


def test_biases_may_be_the_targets() -> None:
    given = target(BIASED)
    found = space(BIASED, biases="target", target=given)
    assert {name: array.dtype for name, array in stored(found).items()} == dict.fromkeys(
        ["fc1.bias", "fc2.bias"], np.dtype("float32")
    )
    for name, array in stored(found).items():
        np.testing.assert_array_equal(array, given[name].astype(np.float32))
    with pytest.raises(ConfigError, match=r"fc1\.bias is to be frozen and no target has it.*add target=trained"):
        space(BIASED, biases="target")
    with pytest.raises(ConfigError, match="biases must be one of zero, scored, target"):
        replace(EDGE_POPUP, biases="random")


@pytest.mark.parametrize(
    ("name", "layers", "frozen"),
    [
        ("residual", ["stem", "norm1"], ["stem.weight", "norm1.weight", "norm1.bias", "norm1.running_mean"]),
        ("attention", ["encoder.self_attn"], ["encoder.self_attn.in_proj_bias", "encoder.self_attn.out_proj.weight"]),
        ("attention", ["head"], ["embedding.weight"]),
    ],
)
def test_a_frozen_path_takes_all_below_it(name: str, layers: list[str], frozen: list[str]) -> None:
    """Tied tensors under any of their names; frozen batch norms gather no statistics."""
    network = Built(name=name)
    given = target(network)
    found = space(network, frozen=layers, target=given)
    for key in frozen:
        np.testing.assert_array_equal(stored(found)[key], given[key].astype(np.float32))
        assert key not in found.scored
    module = found.module(seed=0)
    training = {path for path, part in module.named_modules() if part.training}
    assert training == ({"norm2"} if name == "residual" else set())


def test_equal_seeds_build_equal_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that a builder draws for one-axis parameters come from the seed, and torch's state is left alone."""
    original = OwnLayer.__init__

    def drawn(self: OwnLayer) -> None:
        original(self)
        self.scale = torch.nn.Parameter(torch.randn(1))

    monkeypatch.setattr(OwnLayer, "__init__", drawn)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    once = stored(space(Built(name="own")))["scale"]
    torch.set_rng_state(state)
    torch.rand(1)
    assert stored(space(Built(name="own")))["scale"] == once
    assert stored(space(Built(name="own"), seed=1))["scale"] != once


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_ticket_of_any_module_is_that_of_the_training(name: str, method: Any, tmp_path: Path) -> None:
    """Read back from its file it computes what was trained; statistics of batch norms are stored as the search's."""
    recorder = Memory(tmp_path)
    ticket = method.find(posed(name), recorder).ticket
    save_ticket(ticket, tmp_path / "ticket.safetensors")
    ticket = read_ticket(tmp_path / "ticket.safetensors", trust=[Built.__module__.partition(".")[0]])
    measured = measure_ticket(materialise(ticket), posed(name), epsilon=1.0, outputs=False, approximates=False)
    assert measured["accuracy"] == recorder.lines[-1]["test_accuracy"]
    gathered = {
        key for key, source in ticket.weights.items() if isinstance(source, Stored) and source.origin == "search"
    }
    assert gathered == {key for key in ticket.weights if "running_" in key or key.endswith("num_batches_tracked")}
    assert all(np.any(stored(ticket)[key]) for key in gathered)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_a_second_attempt_goes_on(name: str, tmp_path: Path) -> None:
    method = METHODS["edge_popup"]
    whole = method.find(posed(name), Memory(tmp_path / "whole")).ticket
    with pytest.raises(KeyboardInterrupt):
        method.find(posed(name), Cut(tmp_path, epoch=2))
    ticket = method.find(posed(name), Memory(tmp_path)).ticket
    assert bits(ticket) == bits(whole)
    for key, array in stored(whole).items():
        np.testing.assert_array_equal(stored(ticket)[key], array)


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """A module that takes named inputs and gives a dict, called as every architecture is."""

    def module(self) -> torch.nn.Module:
        return adapted(Keywords(), "logits")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_named_inputs_are_passed_as_keywords(method: Any, tmp_path: Path) -> None:
    """Alone, and two densities together."""
    generator = torch.Generator().manual_seed(0)
    ids, mask = torch.randint(0, 12, (500, 5), generator=generator), torch.rand(500, 5, generator=generator) < 0.7
    inputs = {"ids": ids, "attention_mask": (mask | (torch.arange(5) == 0)).long()}
    first, second = ({name: tensor[part] for name, tensor in inputs.items()} for part in (slice(400), slice(400, 500)))
    labels = ids[:, 0] % 10
    data = Dataset(
        name="tokens", train_inputs=first, train_labels=labels[:400], test_inputs=second, test_labels=labels[400:],
        mask="attention_mask",
    )  # fmt: skip
    asked, recorder = problem(network=Adapted(), data=data), Memory(tmp_path)
    ticket = method.find(asked, recorder).ticket
    measured = measure_ticket(materialise(ticket), asked, epsilon=1.0, outputs=False, approximates=False)
    assert measured["accuracy"] == recorder.lines[-1]["test_accuracy"]
    found = space(Adapted())
    scores = {name: torch.rand(found.drawn[name].shape, generator=generator) for name in found.scored}
    networks = [
        ScoredNetwork(module=found.module(0), scores=scores, density=density, scope="layer") for density in (0.2, 0.7)
    ]
    together = FunctionalTraining(networks, method, "cpu")
    losses = together.losses(second, labels[400:], rate=0.1)
    for network, loss in zip(networks, losses, strict=True):
        torch.testing.assert_close(method.trainer([network], "cpu").step(second, labels[400:], rate=0.1), loss)
    with pytest.raises(ConfigError, match="give it a training part"):
        method.find(replace(asked, data=replace(data, train_inputs=None, train_labels=None)), Memory(tmp_path))


def test_scored_biases_are_pruned_and_counted(tmp_path: Path) -> None:
    method = replace(METHODS["edge_popup"], biases="scored", density=0.5)
    ticket = method.find(problem(network=BIASED), Memory(tmp_path)).ticket
    assert ticket.stored() == 0
    assert ticket.masks["fc1.bias"].kept() == 10
    assert ticket.kept() == round(0.5 * ticket.offered())


def test_given_masks_and_gains_shape_the_module() -> None:
    whole = space(BIASED)
    mask = np.random.default_rng(0).random((20, 36)) < 0.5
    found = replace(whole, given={"fc1.weight": Mask.pack(mask)}, gains={"fc2.weight": 3.0})
    assert found.scored == ["fc2.weight"]
    first, second = (whole.drawn[name].draw(5) for name in ("fc1.weight", "fc2.weight"))
    module = found.module(seed=5)
    np.testing.assert_array_equal(module.get_parameter("fc1.weight").numpy(), (first * mask).astype(np.float32))
    np.testing.assert_array_equal(module.get_parameter("fc2.weight").numpy(), (second * 3.0).astype(np.float32))
    assert len({found.key(), whole.key(), replace(whole, gains={"fc2.weight": 3.0}).key()}) == 3


@pytest.mark.parametrize("name", MODULES)
def test_random_pruning_keeps_exact_counts_of_any_module(name: str) -> None:
    """Masks are those of the streams ("mask", name); norms stand at 1 and 0 and are not pruned."""
    method = RandomPruning(density=0.3, distribution=Normal(std=0.1))
    ticket = method.find(posed(name, seed=4), Memory()).ticket
    for key, mask in ticket.masks.items():
        source = ticket.weights[key]
        assert source == Drawn(shape=mask.shape, distribution=Normal(std=0.1), stream=("weights", key))
        assert mask.kept() == round(0.3 * mask.size)
        again = Mask.random(mask.shape, mask.kept(), Streams(4)("mask", key))
        assert mask.bits.tobytes() == again.bits.tobytes()
    assert ("norm1.weight" in stored(ticket)) == (name == "residual")
    assert ticket.masks.keys() | stored(ticket).keys() == ticket.weights.keys()
