"""Output errors of constructions: measured as the whole network has them, bounded, and predictions counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Fragile, Killed, Memory
from small_networks import SMALL, dataset

from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import images
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import filled, parameter_shapes
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.report.tables import Row
from lth_runner.studies.output_error import MEASURES, OutputError, measured, unchanged_from
from lth_runner.ticket.materialise import materialise

FC = FullyConnected(inputs=64, hidden=8, outputs=4, depth=2, biases=False)
METHODS: dict[str, Any] = {
    "sums": method_of("subset_sum", {"n": 4}),
    "products": method_of("pensia", {"n": 4, "signs": "as_drawn"}),
    "copies": method_of("burkholz", {"n": 3}),
}
STUDY = OutputError(
    values={"sums": [3, 14], "products": [4], "copies": [3]}, repeats=2, labels={"copies": "l + 1"}, axis_label="n"
)

pytestmark = pytest.mark.usefixtures("one_thread")


def problem(seed: int = 5) -> Problem:
    rng = np.random.default_rng(0)
    target = {name: rng.normal(0, 0.4, shape) for name, shape in parameter_shapes(FC).items()}
    return Problem(network=FC, target=target, data=dataset(SMALL["fc"]), streams=Streams(seed), device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return STUDY.run(problem(), METHODS, Memory(tmp_path_factory.mktemp("study")))


@pytest.mark.parametrize("name", METHODS)
def test_what_is_measured_is_what_the_whole_network_does(name: str) -> None:
    posed = problem()
    network = materialise(METHODS[name].find(posed, Memory()).ticket)
    found = measured(network, posed)
    assert posed.data is not None and posed.target is not None
    x = images(posed.data.test_inputs).double()
    pruned, exact = network.module(torch.float64)(x), filled(FC, posed.target, torch.float64)(x)
    difference = (pruned - exact).abs()
    assert found["largest"] == pytest.approx(float(difference.max()), abs=1e-9)
    assert found["average"] == pytest.approx(float(difference.mean()), abs=1e-9)
    assert found["changed"] == int((pruned.argmax(1) != exact.argmax(1)).sum())
    assert float((pruned - exact).norm(dim=1).max()) <= found["bound"]


def test_rows_are_means_and_points_have_every_seed(done: Any) -> None:
    keys = [(row["curve"], row["n"]) for row in done.rows]
    assert keys == [("sums", 3), ("sums", 14), ("products", 4), ("copies", 3)]
    for row in done.rows:
        for measure in MEASURES:
            same = [
                p["value"] for p in done.points if (p["panel"], p["curve"], p["n"]) == (row["curve"], measure, row["n"])
            ]
            assert len(same) == 2
            assert row[measure] == pytest.approx(np.mean(same))
        counts = [
            p["value"] for p in done.points if (p["panel"], p["curve"], p["n"]) == ("changed", row["curve"], row["n"])
        ]
        assert (min(counts), max(counts)) == (row["changed_low"], row["changed_high"])
        assert row["unchanged"] == counts.count(0) and row["networks"] == 2
    assert {p["seed"] for p in done.points} == {5, 6}
    first, second = [row["bound"] for row in done.rows if row["curve"] == "sums"]
    assert second < first


def test_the_least_n_from_which_nothing_changes() -> None:
    rows: list[Row] = [{"n": n, "unchanged": k, "networks": 3} for n, k in ((4, 3), (6, 2), (8, 3), (10, 3))]
    assert unchanged_from(rows) == 8
    assert unchanged_from(rows[:2]) is None


def test_the_figure_has_a_panel_for_each_construction_and_one_of_changes(done: Any) -> None:
    drawn = figure(done.points, done.figures["output_error"])
    axes = [place for place in drawn.axes if place.lines]
    assert len(axes) == 4
    assert {line.get_label() for line in axes[0].get_lines()} == set(MEASURES.values())
    assert axes[3].get_yscale() == "symlog"
    assert "l + 1" in {line.get_label() for line in axes[3].get_lines()}


def test_a_killed_run_goes_on(done: Any, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        STUDY.run(problem(), METHODS, Fragile(tmp_path, lines=3))
    again = STUDY.run(problem(), METHODS, Memory(tmp_path))
    assert again.points == done.points


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="ascending"):
        replace(STUDY, values={"sums": [8, 4]})
    with pytest.raises(ConfigError, match="compare must be one of sums, products, copies"):
        STUDY.check({"other": METHODS["sums"]})
    with pytest.raises(ConfigError, match="at most 40"):
        replace(STUDY, values={"sums": [41]}).check({"sums": METHODS["sums"]})
