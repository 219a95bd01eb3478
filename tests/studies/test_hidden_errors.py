"""Errors behind every layer: measured as by hand, one row and curve for each construction and n, tickets that hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from small_networks import SMALL, dataset, target

import lth_runner as lth
from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import images
from lth_runner.measure.hidden import layer_differences
from lth_runner.networks.folding import BatchNormFolded
from lth_runner.networks.interface import filled
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.studies.hidden_errors import HiddenErrors
from lth_runner.ticket.file import save_ticket
from lth_runner.ticket.materialise import materialise

SMALL_RESNET = SMALL["resnet"]
METHODS: dict[str, Any] = {
    "pairs": method_of("pensia", {"n": 4, "signs": "as_drawn"}),
    "copies": method_of("burkholz", {"n": 3, "gains": "matched"}),
}
STUDY = HiddenErrors(
    values={"pairs": [6], "copies": [3, 5]}, images=7, layer_images=5, labels={"copies": "l + 1"}, epsilon=0.01
)

pytestmark = pytest.mark.usefixtures("one_thread")


def problem() -> Problem:
    network = SMALL_RESNET.make()
    return Problem(
        network=network, target=target(SMALL_RESNET), data=dataset(SMALL_RESNET), streams=Streams(2), device="cpu"
    )


@pytest.fixture(scope="module")
def done() -> Any:
    return STUDY.run(problem(), METHODS, Memory())


def test_errors_are_those_of_every_copy() -> None:
    """The first convolution and the block behind it by hand, from the outputs of single parts of the module."""
    posed = problem()
    assert posed.data is not None and posed.target is not None and posed.network is not None
    network = materialise(replace(METHODS["copies"], n=4).find(posed, Memory()).ticket)
    x = images(posed.data.test_inputs).double()[:5]
    found = layer_differences(network, posed.target, x)
    folded = BatchNormFolded(original=posed.network)
    reference: Any = filled(folded, folded.folded(posed.target), torch.float64)
    pruned: Any = network.module(torch.float64)
    h, g = reference.conv1(x), pruned.conv1(x)
    copies = [g[:, 2 * c : 2 * c + 2] - h for c in range(4)]
    size = float(torch.stack(copies).square().mean().sqrt() / h.square().mean().sqrt())
    assert found["conv1"] == pytest.approx(size, rel=1e-12)
    h, g = (module.stage1[0].conv1(module.relu1(y)) for module, y in ((reference, h), (pruned, g)))
    copies = [g[:, 2 * c : 2 * c + 2] - h for c in range(4)]
    size = float(torch.stack(copies).square().mean().sqrt() / h.square().mean().sqrt())
    assert found["stage1.0.conv1"] == pytest.approx(size, rel=1e-12)
    last = (pruned(x) - reference(x)).square().mean().sqrt() / reference(x).square().mean().sqrt()
    assert found["fc"] == pytest.approx(float(last), rel=1e-12)
    assert list(found) == [
        "conv1", "stage1.0.conv1", "stage1.0.conv2", "stage2.0.conv1", "stage2.0.conv2", "stage2.0.shortcut.conv",
        "stage3.0.conv1", "stage3.0.conv2", "stage3.0.shortcut.conv", "fc",
    ]  # fmt: skip


def test_a_row_for_each_construction_and_n_and_a_point_for_each_layer(done: Any) -> None:
    assert [(row["network"], row.get("n"), row["depth"]) for row in done.rows] == [
        ("target", None, 8), ("pairs", 6, 16), ("l + 1", 3, 9), ("l + 1", 5, 9),
    ]  # fmt: skip
    layers = [point for point in done.points if point["panel"] == "layers"]
    assert len(layers) == 3 * 10 and {point["layer"] for point in layers} == set(range(1, 11))
    assert done.rows[-1]["hidden_error_last"] == layers[-1]["value"] == done.summary["copies/5/hidden_error_last"]
    assert done.rows[2]["drawn"] == done.tickets["copies_3"].drawn()
    assert done.rows[0]["depth"] == done.summary["target/depth"]


def test_its_figure_is_drawn_from_its_points(done: Any) -> None:
    axes = figure(done.points, done.figures["residual"]).axes
    assert [len(place.get_lines()) for place in axes[:2]] == [3, 3]


def test_tickets_hold_and_altered_ones_do_not(done: Any, tmp_path: Path) -> None:
    for name, ticket in done.tickets.items():
        path = tmp_path / f"{name}.safetensors"
        save_ticket(ticket, path)
        given: dict[str, Any] = {"target": target(SMALL_RESNET), "data": dataset(SMALL_RESNET)}
        assert lth.verify(path, **given)
        architecture = ticket.architecture
        if name.startswith("copies"):
            scales = {key: 1.01 * value for key, value in architecture.scales.items()}
            save_ticket(replace(ticket, architecture=replace(architecture, scales=scales)), path)
            assert not lth.verify(path, **given)
            tensor = "stage2.0.conv1.sum.weight"
            dense = ticket.masks[tensor].dense()
            dense[np.unravel_index(int(dense.argmax()), dense.shape)] = False
            pruned = type(ticket.masks[tensor]).pack(dense)
            save_ticket(replace(ticket, masks={**ticket.masks, tensor: pruned}), path)
            assert not lth.verify(path, **given)


def test_accuracy_is_claimed_of_all_test_images_alone(done: Any) -> None:
    posed = problem()
    assert all("accuracy" not in ticket.claims for ticket in done.tickets.values())
    assert all(row["accuracy"] * 7 == pytest.approx(round(row["accuracy"] * 7)) for row in done.rows)
    whole = replace(STUDY, images=None, values={"copies": [3]})
    found = whole.run(posed, {"copies": METHODS["copies"]}, Memory())
    assert found.tickets["copies_3"].claims["accuracy"] == found.rows[1]["accuracy"]


def test_values_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"study.values.copies must have some n, ascending: got \[5, 3\]"):
        replace(STUDY, values={"copies": [5, 3]})
    with pytest.raises(ConfigError, match="compare must be one of"):
        STUDY.check({"other": METHODS["copies"]})
