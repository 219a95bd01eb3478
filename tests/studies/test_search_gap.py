"""Searches beside the best mask: the points are those of the masks, survive a kill, and the figure shows them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory

from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.sum_search.differencing import Differencing
from lth_runner.laws.sum_search.exact import Exact
from lth_runner.laws.sum_search.scores import Scores
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.studies.search_gap import DIFFERENCING, LAW, Panel, SearchGap
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

DATA = Synthetic(train_count=200, test_count=100, side=2, classes=10, seed=0, noise=0.2).load(lambda line: None)
UNIFORM = Uniform(low=-1.0, high=1.0)
EXACT = Exact(solver=MeetInMiddle())
FROM = Scores(
    method=method_of("edge_popup", {"epochs": 2}), steps_per_epoch=5, learning_rate=1.0, keep="last", start=EXACT
)
STUDY = SearchGap(
    numbers=UNIFORM,
    targets=UNIFORM,
    searches={"exact": EXACT, "differencing": Differencing(), "from": FROM},
    panels={
        "one": Panel(
            title="one weight", networks=30, weights=1, inputs="white",
            searches={"exact": [4, 8], "differencing": [4, 8], "from": [8]},
        ),
        "data": Panel(
            title="on data", networks=3, weights=4, inputs="data",
            searches={"exact": [4], "from": [4]},
        ),
    },
    repeats=2,
    labels={"exact": "best mask", "from": "from the best"},
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


def problem(**changes: Any) -> Problem:
    return replace(Problem(network=None, target=None, data=DATA, streams=Streams(3), device="cpu"), **changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return STUDY.run(problem(), {}, Memory(tmp_path_factory.mktemp("gap")))


def test_every_search_has_every_n_and_every_seed(done: Any) -> None:
    found = {(point["panel"], point["curve"], point["n"], point["seed"]) for point in done.points}
    expected = {
        (panel, search, n, seed)
        for panel, one in STUDY.panels.items()
        for search, values in one.searches.items()
        for n in values
        for seed in (3, 4)
    }
    assert found == expected
    assert len(done.points) == len(expected)
    assert len(done.rows) == len(expected) / 2


def test_an_error_is_that_of_the_sums_on_numbers_that_all_searches_share(done: Any) -> None:
    streams = Streams(4)
    values = UNIFORM.quantile(streams.uniform(("numbers",), 0, 240)).reshape(30, 8)
    targets = UNIFORM.quantile(streams.uniform(("targets",), 0, 30))
    least = MeetInMiddle().solve(values, targets, 1.0, "closest").error
    at = {(p["panel"], p["curve"], p["n"], p["seed"]): p for p in done.points}
    assert at["one", "exact", 8, 4]["error"] == pytest.approx(np.median(least))
    assert at["one", "exact", 8, 4]["relative"] == pytest.approx(np.sqrt((least**2).sum() / (targets**2).sum()))
    assert at["one", "differencing", 8, 4]["error"] > at["one", "exact", 8, 4]["error"]
    row = next(r for r in done.rows if (r["panel"], r["curve"], r["n"]) == ("one weight", "best mask", 8))
    assert row["error"] == pytest.approx((at["one", "exact", 8, 3]["error"] + at["one", "exact", 8, 4]["error"]) / 2)


def test_on_data_the_error_is_that_of_the_outputs(done: Any) -> None:
    images = DATA.train_inputs
    assert isinstance(images, torch.Tensor)
    x = images.flatten(1).double().numpy()
    values = UNIFORM.quantile(Streams(3).uniform(("numbers",), 0, 48)).reshape(12, 4)
    targets = UNIFORM.quantile(Streams(3).uniform(("targets",), 0, 12))
    chosen = MeetInMiddle().solve(values, targets, 1.0, "closest").chosen
    wanted, got = (x @ w.reshape(3, 4).T for w in (targets, (values * chosen).sum(1)))
    point = next(p for p in done.points if (p["panel"], p["curve"], p["seed"]) == ("data", "exact", 3))
    assert point["relative"] == pytest.approx(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def test_what_is_left_of_the_first_mask(done: Any) -> None:
    changed = {p["curve"]: p["changed"] for p in done.points if p["panel"] == "one"}
    assert changed["exact"] is changed["differencing"] is None
    assert 0 < changed["from"] <= 1


def test_a_killed_run_goes_on(done: Any, tmp_path: Path) -> None:
    again = Memory(tmp_path)
    STUDY.run(problem(), {}, again)
    resumed = STUDY.run(problem(), {}, Memory(tmp_path))
    without_time = [[{k: v for k, v in p.items() if k != "time_s"} for p in run.points] for run in (done, resumed)]
    assert without_time[0] == without_time[1]


def test_the_figure_shows_every_panel_and_the_law(done: Any) -> None:
    drawn = figure(done.points, done.figures["search_gap"])
    one, data = drawn.axes[:2]
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in one.get_lines()}
    np.testing.assert_allclose(lines[DIFFERENCING][0], 4 ** (-np.log(4) / (2 * np.log(2))))
    assert lines[LAW][1] == pytest.approx(lines["best mask"][1], rel=0.3)  # 60 weights
    at = [p["error"] for p in done.points if (p["panel"], p["curve"], p["n"]) == ("one", "exact", 4)]
    assert lines["best mask"][0] == pytest.approx(np.mean(at))
    assert DIFFERENCING not in {line.get_label() for line in data.get_lines()}
    assert "differencing" not in {line.get_label() for line in data.get_lines()}


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="add data=mnist"):
        STUDY.run(problem(data=None), {}, Memory(Path()))
    wide = replace(STUDY, panels={"data": replace(STUDY.panels["data"], weights=5)})
    with pytest.raises(ConfigError, match="weights=5, and inputs have 4 features"):
        wide.run(problem(), {}, Memory(Path()))
    with pytest.raises(ConfigError, match="searches must be one of exact, differencing, from"):
        replace(STUDY, panels={"one": replace(STUDY.panels["one"], searches={"annealing": [4]})})
    with pytest.raises(ConfigError, match="is no search for sums"):
        replace(STUDY, searches={**STUDY.searches, "other": UNIFORM})  # pyright: ignore[reportArgumentType]
