"""Losses by size: the points are those of tickets, survive a kill, and the figure shows them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorders import Memory

from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.studies.selection_size import SelectionSize, Sizes

DATA = Synthetic(train_count=200, test_count=100, side=6, classes=10, seed=0, noise=0.2).load(lambda line: None)
NETWORK = FullyConnected(inputs=36, hidden=12, outputs=10, depth=2, biases=True)
SMALL: dict[str, Any] = {"validation": 50, "images": 60, "training": {"length": "1ep", "batch": 20}, "retrain": False}
METHODS = {
    "greedy": method_of("greedy_selection", SMALL),
    "direct": method_of("greedy_selection", {**SMALL, "control": "random_subset"}),
    "layer": method_of("greedy_selection", {**SMALL, "objective": "layer"}),
}
STUDY = SelectionSize(
    grid="small",
    grids={"small": Sizes(counts=[1, 2, 4, 12, 99], epochs=1, repeats=2)},
    narrow=["direct"],
    fit=[1, 4],
    confidence=0.95,
    labels={"layer": "logits imitated"},
)

pytestmark = pytest.mark.usefixtures("one_thread")


def problem() -> Problem:
    return Problem(network=NETWORK, target=None, data=DATA, streams=Streams(3), device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return STUDY.run(problem(), METHODS, Memory(tmp_path_factory.mktemp("sizes")))


def test_every_curve_has_every_size_that_there_is_and_every_seed(done: Any) -> None:
    found = sorted((point["curve"], point["n"], point["seed"]) for point in done.points)
    assert found == sorted((curve, n, seed) for curve in METHODS for n in (1, 2, 4, 12) for seed in (3, 4))


def test_points_are_those_of_tickets(done: Any, tmp_path: Path) -> None:
    points = {(point["curve"], point["n"], point["seed"]): point for point in done.points}
    seeded = replace(problem(), streams=Streams(4))
    (one,) = METHODS["greedy"].find_each(seeded, Memory(tmp_path), [4 / 12])
    assert points["greedy", 4, 4]["loss"] == one.ticket.facts["selection_loss"]
    assert points["greedy", 12, 4]["loss"] == pytest.approx(points["greedy", 12, 4]["whole_loss"])
    narrow = FullyConnected(inputs=36, hidden=4, outputs=10, depth=2, biases=True)
    (direct,) = METHODS["direct"].find_each(replace(seeded, network=narrow), Memory(tmp_path), [1.0])
    assert points["direct", 4, 4]["loss"] == pytest.approx(direct.ticket.facts["whole_loss"])


def test_slopes_are_of_the_range_that_is_asked_for(done: Any) -> None:
    row = next(row for row in done.rows if row["curve"] == "greedy")
    logs = [
        [np.log(point["loss"]) for point in done.points if point["curve"] == "greedy" and point["seed"] == seed][:3]
        for seed in (3, 4)
    ]
    assert row["power"] == pytest.approx(np.polyfit(np.log([1, 2, 4]), np.mean(logs, axis=0), 1)[0])
    assert row["power_low"] < row["power"] < row["power_high"]


def test_a_kill_costs_the_part_under_way(done: Any, tmp_path: Path) -> None:
    class Cut(Memory):
        def say(self, line: str) -> None:
            if line.startswith("logits imitated, seed 3"):
                raise KeyboardInterrupt
            super().say(line)

    with pytest.raises(KeyboardInterrupt):
        STUDY.run(problem(), METHODS, Cut(tmp_path))
    again = Memory(tmp_path)
    outcome = STUDY.run(problem(), METHODS, again)
    assert any("5 parts of this study were finished before" in line for line in again.said)
    assert (outcome.points, outcome.texts, outcome.figures) == (done.points, done.texts, done.figures)


def test_the_figure_has_a_panel_for_each_objective_and_one_of_accuracies(done: Any) -> None:
    drawn = figure(done.points, done.figures["selection_size"])
    labels, layer, accuracy = drawn.axes
    assert [line.get_label() for line in labels.lines] == ["greedy", "direct"]
    assert [line.get_label() for line in layer.lines] == ["logits imitated"]
    assert (labels.get_yscale(), labels.get_xscale(), accuracy.get_yscale()) == ("log", "log", "linear")
    points = [point["loss"] for point in done.points if point["curve"] == "greedy" and point["n"] == 2]
    assert tuple(np.asarray(labels.lines[0].get_xydata())[1]) == pytest.approx((2, np.mean(points)))
    assert accuracy.get_ylabel() == "test accuracy (%)"


def test_other_methods_are_refused() -> None:
    for other in (method_of("imp", {}), method_of("greedy_selection", {"retrain": True})):
        with pytest.raises(ConfigError, match="imp must be method=greedy_selection with retrain=false"):
            STUDY.check({"direct": METHODS["direct"], "imp": other})
