"""What searches share: frozen layers in the ticket and in front of the training, and several densities at once."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import Cut, bits

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.measure.ticket import measure_ticket
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, filled, parameter_shapes
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.problem import Problem
from lth_runner.search import score_search
from lth_runner.search.biprop import Biprop
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.run import apply_front, split_before_scores
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.trainer import ScoreTrainer
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn, Stored
from lth_runner.ticket.ticket import Ticket

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.arange(120) % 10
PROTOTYPES = torch.randn(10, 1, 28, 28, generator=GENERATOR)
IMAGES = PROTOTYPES[LABELS] + torch.randn(120, 1, 28, 28, generator=GENERATOR)
DATA = Dataset(
    name="noise", train_inputs=IMAGES[:80], train_labels=LABELS[:80], test_inputs=IMAGES[80:], test_labels=LABELS[80:]
)
LENET5 = LeNet5(hidden=(12, 9), outputs=10, redundancy=3, relu=True, biases=False)
PLAIN = FullyConnected(inputs=784, hidden=10, outputs=10, depth=2, biases=False)
CONVOLUTIONS = {"conv1.weight", "conv2.weight"}
METHOD = EdgePopup(
    density=0.5, scope="layer", epochs=2, batch=16, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, validation=16,
    distribution=KaimingNormal(gain=2**0.5, density=1.0), scores=KaimingUniform(gain=3**-0.5, density=1.0), frozen=[],
    biases="zero",
)  # fmt: skip
FROZEN = replace(METHOD, frozen=["conv1", "conv2"])


def target(network: Architecture) -> dict[str, np.ndarray]:
    """Weights with float32 values, as a training leaves them."""
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, 0.2, shape).astype(np.float32).astype(float)
        for name, shape in parameter_shapes(network).items()
    }


def stored(ticket: Ticket) -> dict[str, np.ndarray]:
    return {name: source.array for name, source in ticket.weights.items() if isinstance(source, Stored)}


def problem(network: Architecture = LENET5, **changes: Any) -> Problem:
    posed = Problem(network=network, target=target(network), data=DATA, streams=Streams(0), device="cpu")
    return replace(posed, **changes)


def test_frozen_layers_are_the_targets_and_all_others_are_random(tmp_path: Path) -> None:
    ticket = FROZEN.find(problem(), Memory(tmp_path)).ticket
    assert stored(ticket).keys() == CONVOLUTIONS
    drawn = {name for name, source in ticket.weights.items() if isinstance(source, Drawn)}
    assert ticket.masks.keys() == drawn == parameter_shapes(LENET5).keys() - CONVOLUTIONS
    assert ticket.offered() == ticket.drawn() == 3 * (400 + 12 + 9) + 3 * (400 * 12 + 12 * 9 + 9 * 10)
    weights = materialise(ticket).module().state_dict()
    for name in CONVOLUTIONS:
        np.testing.assert_array_equal(weights[name].numpy(), target(LENET5)[name])


def test_a_ticket_with_frozen_layers_is_that_of_the_training(tmp_path: Path) -> None:
    recorder = Memory(tmp_path)
    ticket = FROZEN.find(problem(), recorder).ticket
    measured = measure_ticket(materialise(ticket), problem(target=None), epsilon=1.0, outputs=False, approximates=False)
    assert measured["accuracy"] == recorder.lines[-1]["test_accuracy"]


def test_a_file_keeps_frozen_layers_and_notices_a_change_in_them(tmp_path: Path) -> None:
    ticket = FROZEN.find(problem(), Memory(tmp_path)).ticket
    path = tmp_path / "ticket.safetensors"
    save_ticket(ticket, path)
    found = read_ticket(path)
    for name, array in stored(ticket).items():
        assert stored(found)[name].tobytes() == array.tobytes()
    content = path.read_bytes()
    at = content.index(stored(ticket)["conv2.weight"].tobytes())
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(Exception, match="altered"):
        read_ticket(path)


def test_what_is_frozen_in_front_is_worked_out_once_and_changes_nothing() -> None:
    scores = {name: torch.rand(shape) for name, shape in parameter_shapes(LENET5).items() if name not in CONVOLUTIONS}
    network = ScoredNetwork(module=filled(LENET5, target(LENET5)), scores=scores, density=0.5, scope="layer")
    front, rest = split_before_scores(network)
    assert next(name for name, _ in rest.module.named_children()) == "fc1"
    features = apply_front(front, IMAGES)
    assert isinstance(features, torch.Tensor)
    assert features.shape == (120, 400)
    with torch.no_grad():
        torch.testing.assert_close(rest.module(features), network.module(IMAGES))


def test_a_module_that_stands_twice_is_called_twice() -> None:
    relu = torch.nn.ReLU()
    module = torch.nn.Sequential(torch.nn.Linear(6, 5), relu, torch.nn.Linear(5, 5), relu, torch.nn.Linear(5, 3))
    network = ScoredNetwork(module=module, scores={"2.weight": torch.rand(5, 5)}, density=0.5, scope="layer")
    front, rest = split_before_scores(network)
    inputs = torch.randn(20, 6)
    with torch.no_grad():
        torch.testing.assert_close(rest.module(front(inputs)), module(inputs))
    assert len(front) == 2 and len(rest.module) == 3  # pyright: ignore[reportArgumentType]


def test_a_layer_that_stands_twice_keeps_the_network_whole() -> None:
    layer = torch.nn.Linear(6, 6)
    module = torch.nn.Sequential(layer, torch.nn.Linear(6, 6), layer)
    network = ScoredNetwork(module=module, scores={"1.weight": torch.rand(6, 6)}, density=0.5, scope="layer")
    front, rest = split_before_scores(network)
    assert rest is network and len(front) == 0  # pyright: ignore[reportArgumentType]


def test_nothing_stands_in_front_where_nothing_is_frozen() -> None:
    scores = {name: torch.rand(shape) for name, shape in parameter_shapes(PLAIN).items()}
    network = ScoredNetwork(module=filled(PLAIN, target(PLAIN)), scores=scores, density=0.5, scope="layer")
    front, rest = split_before_scores(network)
    assert rest is network
    assert apply_front(front, IMAGES) is IMAGES


@pytest.mark.parametrize(
    ("frozen", "changes", "message"),
    [
        (["conv3"], {}, "frozen names conv3, which is no layer"),
        (["conv1"], {"target": None}, "no target has it in this shape: add target=trained"),
        (["conv1"], {"target": {**target(LENET5), "conv1.weight": np.zeros((6, 1, 3, 3))}}, "no target has it"),
    ],
)
def test_layers_that_cannot_be_frozen(frozen: list[str], changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(METHOD, frozen=frozen).find(problem(**changes), Memory(tmp_path))


def test_each_density_is_trained_as_it_would_be_alone(tmp_path: Path) -> None:
    together = METHOD.find_each(problem(PLAIN), Memory(tmp_path), [0.5, 0.2])
    for density, found in zip([0.5, 0.2], together, strict=True):
        ticket = found.ticket
        alone = replace(METHOD, density=density).find(problem(PLAIN), Memory(tmp_path / "alone")).ticket
        assert bits(ticket) == bits(alone)
        assert ticket.facts == alone.facts


class Grids:
    """Trains as on a GPU, all densities together, but on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []

        def trainer(method: EdgePopup, networks: Sequence[ScoredNetwork], device: str) -> ScoreTrainer:
            self.sizes.append(len(networks))
            return FunctionalTraining(networks, method, device)

        monkeypatch.setattr(EdgePopup, "trainer", trainer)
        monkeypatch.setattr(score_search, "turns", lambda count, *, together: [range(count)])


def test_densities_trained_together_come_out_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to roundings, which may carry a score across its threshold."""
    alone, alone_record = METHOD.find_each(problem(PLAIN), Memory(tmp_path), [0.5, 0.2]), Memory(tmp_path)
    METHOD.find_each(problem(PLAIN), alone_record, [0.5, 0.2])
    grids, recorder = Grids(monkeypatch), Memory(tmp_path / "together")
    together = METHOD.find_each(problem(PLAIN), recorder, [0.5, 0.2])
    assert grids.sizes == [2]
    assert [line["density"] for line in recorder.lines] == [0.5, 0.2, 0.5, 0.2]
    pairs = zip(alone, together, strict=True)
    for run, (one, other) in enumerate((first.ticket, second.ticket) for first, second in pairs):
        for name, mask in one.masks.items():
            assert mask.kept() == other.masks[name].kept()
            assert np.mean(mask.dense() != other.masks[name].dense()) < 2e-3
        measured = measure_ticket(
            materialise(other), problem(PLAIN, target=None), epsilon=1.0, outputs=False, approximates=False
        )
        assert measured["accuracy"] == recorder.lines[2 + run]["test_accuracy"]
        assert other.facts["validation_accuracy_last"] == recorder.lines[2 + run]["validation_accuracy"]


def test_a_grid_goes_on_after_a_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Grids(monkeypatch)
    whole, record = METHOD.find_each(problem(PLAIN), Memory(tmp_path / "whole"), [0.5, 0.2]), Memory(tmp_path / "whole")
    METHOD.find_each(problem(PLAIN), record, [0.5, 0.2])
    with pytest.raises(KeyboardInterrupt):
        METHOD.find_each(problem(PLAIN), Cut(tmp_path, epoch=2), [0.5, 0.2])
    recorder = Memory(tmp_path)
    resumed = METHOD.find_each(problem(PLAIN), recorder, [0.5, 0.2])
    assert any("going on after epoch 1" in line for line in recorder.said)
    assert recorder.lines == record.lines
    for one, other in zip(whole, resumed, strict=True):
        assert bits(one.ticket) == bits(other.ticket)


@pytest.mark.parametrize("network", [PLAIN, replace(LENET5, redundancy=0)])
def test_the_device_asked_for_is_the_device_that_trains(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convolutions too; on another device than the CPU all densities of a call are trained at once."""
    asked: list[tuple[int, str]] = []

    def trainer(method: EdgePopup, networks: Sequence[ScoredNetwork], device: str) -> ScoreTrainer:
        asked.append((len(networks), device))
        return FunctionalTraining(networks, method, "cpu")

    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
    monkeypatch.setattr(EdgePopup, "trainer", trainer)
    METHOD.find_each(problem(network, device="cuda:1"), Memory(tmp_path), [0.5, 0.2])
    assert asked == [(2, "cuda:1")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "frozen"),
    [
        (PLAIN, []),
        (LENET5, []),
        (LENET5, ["conv1", "conv2"]),
        (replace(LENET5, redundancy=0), []),
        (replace(LENET5, redundancy=0), ["conv1", "conv2"]),
    ],
)
@pytest.mark.parametrize("kind", [EdgePopup, Biprop])
def test_compiled_and_functional_searches_find_the_same_ticket(
    network: Any, frozen: list[str], kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit over several epochs, metrics included."""
    method = kind(**{**{field.name: getattr(METHOD, field.name) for field in fields(METHOD)}, "frozen": frozen})
    compiled, functional = Memory(tmp_path / "compiled"), Memory(tmp_path / "functional")
    ticket = method.find(problem(network), compiled).ticket
    monkeypatch.setattr(kind, "compiled_use", None)
    other = method.find(problem(network), functional).ticket
    assert bits(ticket) == bits(other)
    assert compiled.lines == functional.lines
