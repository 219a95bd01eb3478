"""What every layer keeps on a path, for tickets of every kind, and how empty and disconnected layers are told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparisons import comparison
from plain_choice import COPIES, PLAIN_PATHS
from recorders import Memory
from torch import nn

from lth_runner.api import find
from lth_runner.construct.burkholz import Burkholz
from lth_runner.construct.pensia import Pensia
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.layer_use import LayerUse, cut_off, layer_uses, numbers, warning
from lth_runner.measure.on_path import on_path
from lth_runner.networks.conv import Conv
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.networks.vit import ViT
from lth_runner.problem import Problem
from lth_runner.report.tables import Results
from lth_runner.search.random_pruning import RandomPruning
from lth_runner.studies.density import Density, Grid
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=4, hidden=3, outputs=2, depth=2, biases=False)
LAW = Uniform(low=-1.0, high=1.0)
SUBSETS: dict[str, Any] = {
    "objective": "closest",
    "solver": MeetInMiddle(),
    "epsilon": 0.05,
    "c": 3,
    "distribution": LAW,
}
DATA = Synthetic(train_count=8, test_count=20, side=2, classes=2, seed=0, noise=0.2).load(lambda line: None)


def ticket_of(architecture: Architecture, masks: dict[str, np.ndarray], numbers_each: int = 0) -> Ticket:
    shapes = {
        name: (*shape, numbers_each) if numbers_each else shape
        for name, shape in parameter_shapes(architecture).items()
    }
    weights = {name: Drawn(shape=shape, distribution=LAW, stream=(name,)) for name, shape in shapes.items()}
    return Ticket(
        architecture=architecture,
        seed=0,
        weights=weights,
        masks={name: Mask.pack(mask) for name, mask in masks.items()},
    )


def random_masks(ticket: Ticket, density: float, seed: int) -> dict[str, Mask]:
    rng = np.random.default_rng(seed)
    return {name: Mask.pack(rng.random(ticket.places(name)) < density) for name in ticket.random}


def counts(ticket: Ticket, data: Any = DATA) -> dict[str, tuple[int, int | None]]:
    return {use.name: (use.kept, use.on_path) for use in layer_uses(materialise(ticket), data)}


def constructed(method: Any) -> Ticket:
    rng = np.random.default_rng(1)
    target = {name: rng.normal(0, 0.2, shape) for name, shape in parameter_shapes(NETWORK).items()}
    problem = Problem(network=NETWORK, target=target, data=DATA, streams=Streams(0), device="cpu")
    return method.find(problem, Memory()).ticket


def test_a_plain_ticket_by_hand() -> None:
    first = np.zeros((3, 4), bool)
    first[0, :2] = first[1, 0] = True  # neuron 0 sees two inputs, neuron 1 one, neuron 2 none
    second = np.array([[True, False, True], [False, False, True]])
    ticket = ticket_of(NETWORK, {"fc1.weight": first, "fc2.weight": second})
    assert counts(ticket) == {"fc1": (3, 2), "fc2": (3, 1)}
    assert counts(ticket, data=None) == counts(ticket), "the linear layer says how many inputs there are"


def test_of_several_numbers_for_a_weight_those_kept_count() -> None:
    first, second = np.zeros((3, 4, 5), bool), np.zeros((2, 3, 5), bool)
    first[0, 0, :3] = first[1, 0, 4] = second[0, 0, 1:3] = second[0, 2] = True
    ticket = ticket_of(NETWORK, {"fc1.weight": first, "fc2.weight": second}, numbers_each=5)
    assert counts(ticket) == {"fc1": (4, 3), "fc2": (7, 2)}


@pytest.mark.parametrize("seed", range(6))
def test_an_expansion_is_four_layers(seed: int) -> None:
    """Whatever is kept, also edges beside the block diagonal."""
    found = constructed(
        Pensia(**PLAIN_PATHS, stored=[], n=4, halves="both", signs="as_drawn", gains="fitted", max_paths=24, **SUBSETS)
    )
    ticket = Ticket(
        architecture=found.architecture, seed=0, weights=found.weights, masks=random_masks(found, 0.1, seed)
    )
    names = [f"fc{i}.{which}" for i in (1, 2) for which in ("split", "sum")]
    dense = [torch.from_numpy(ticket.masks[f"{name}.weight"].dense()).float() for name in names]
    plain = nn.Sequential(*(nn.Linear(mask.shape[1], mask.shape[0], bias=False) for mask in dense))
    plain.load_state_dict({f"{i}.weight": mask for i, mask in enumerate(dense)})
    expected = on_path(plain, (4,))
    assert expected is not None
    assert counts(ticket) == {
        name: (int(mask.sum()), int(expected[f"{i}.weight"].sum()))
        for i, (name, mask) in enumerate(zip(names, dense, strict=True))
    }


def test_copies_of_neurons_use_what_they_keep() -> None:
    found = counts(constructed(Burkholz(**COPIES, n=8, twin="always", signs="as_drawn", max_paths=24, **SUBSETS)))
    assert set(found) == {"fc1.split", "fc1.sum", "fc2.sum"}
    assert all(used is not None and 0 < used <= kept for kept, used in found.values())


def test_of_images_the_data_tell_the_size() -> None:
    network = Conv(channels=1, side=2, convolutions=((3,),), hidden=(3,), outputs=2, biases=True)
    shapes = {name: shape for name, shape in parameter_shapes(network).items() if len(shape) > 1}
    ticket = ticket_of(network, {name: np.ones(shape, bool) for name, shape in shapes.items()})
    assert counts(ticket)["conv1"] == (27, 27)
    assert counts(ticket, data=None) == {
        name.removesuffix(".weight"): (int(np.prod(s)), None) for name, s in shapes.items()
    }


def test_elsewhere_empty_layers_alone_are_known() -> None:
    network = ViT(side=4, channels=1, patch=2, width=8, depth=1, heads=2, hidden=8, outputs=2, class_token=False)
    shapes = {name: shape for name, shape in parameter_shapes(network).items() if len(shape) > 1}
    empty = next(iter(shapes))
    masks = {name: np.full(shape, name != empty) for name, shape in shapes.items()}
    found = layer_uses(materialise(ticket_of(network, masks)), None)
    assert len(found) == len(shapes) and all(use.on_path is None for use in found)
    assert cut_off(found) == {
        "layers_without_path": 1, "empty_layers": empty.removesuffix(".weight"), "disconnected_layers": None
    }  # fmt: skip


USES = [
    LayerUse(name="fc1", kept=0, on_path=0),
    LayerUse(name="fc2", kept=5, on_path=0),
    LayerUse(name="fc3", kept=7, on_path=0),
]


def test_one_sentence_names_them_all() -> None:
    assert warning("edge_popup", USES) == (
        "warning: edge_popup: the mask keeps no weight of fc1, and no kept weight of fc2, fc3 lies on a path from an "
        "input to an output"
    )
    assert warning("x", USES[:1]) == "warning: x: the mask keeps no weight of fc1"
    assert numbers(USES)["layers_without_path"] == 3
    whole = [LayerUse(name="fc1", kept=2, on_path=1), LayerUse(name="fc2", kept=2, on_path=None)]
    assert warning("x", whole) is None
    assert numbers(whole) == {"kept_fc1": 2, "on_path_fc1": 1, "kept_fc2": 2, "on_path_fc2": None}


SAID = "the mask keeps no weight of fc2, and no kept weight of fc1 lies on a path from an input to an output"
PRUNED = RandomPruning(density=1.0, distribution=LAW)
PROBLEM = Problem(network=NETWORK, target=None, data=DATA, streams=Streams(0), device="cpu")


def test_a_comparison_warns_of_rows_and_of_points() -> None:
    """5 % of 12 and of 6 weights are 1 and 0."""
    study = comparison(axis="density", values=[0.05, 1.0], curves=["whole"])
    recorder = Memory()
    methods = {"whole": PRUNED, "sparse": RandomPruning(density=0.05, distribution=LAW)}
    outcome = study.run(PROBLEM, methods, recorder)
    warnings = [line for line in recorder.said if line.startswith("warning")]
    assert warnings == [f"warning: sparse: {SAID}", f"warning: whole, density = 0.05: {SAID}"]
    assert outcome.summary["sparse/empty_layers"] == "fc2" and outcome.summary["sparse/disconnected_layers"] == "fc1"
    assert (outcome.summary["sparse/kept_fc1"], outcome.summary["sparse/on_path_fc1"]) == (1, 0)
    assert "whole/empty_layers" not in outcome.summary
    table = Results(columns=outcome.columns, rows=outcome.rows)
    assert [row.get("layers_without_path") for row in outcome.rows] == [
        None,
        2,
    ] and "layers_without_path" in table.csv()
    assert not any("fc1" in key for point in outcome.points for key in point), "the points are those of before"
    alone = study.run(PROBLEM, {"whole": PRUNED}, Memory())
    assert "layers_without_path" not in Results(columns=alone.columns, rows=alone.rows).csv(), "a column only if needed"


def test_a_figure_over_densities_warns_of_its_points(tmp_path: Path) -> None:
    study = Density(
        grid="g", grids={"g": Grid(densities=[1.0, 0.05], epochs=1, repeats=1)}, own={}, networks={}, labels={},
        published={}, source="", figures={}, facts={},
    )  # fmt: skip
    recorder = Memory(tmp_path)
    outcome = study.run(PROBLEM, {"random": PRUNED}, recorder)
    (said,) = [line for line in recorder.said if "warning" in line]
    assert said.endswith(f"warning: 5 % kept: {SAID}")
    named = {key: value for key, value in outcome.summary.items() if "layers" in key}
    assert named == {"random/0.05/empty_layers": "fc2", "random/0.05/disconnected_layers": "fc1"}


def test_the_library_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = find("random_pruning", NETWORK, data=DATA, density=0.05, distribution=LAW)
    assert found.measured["empty_layers"] == "fc2"
    assert SAID in " ".join(capsys.readouterr().out.split())
