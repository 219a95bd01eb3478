"""The studies of winning tickets: their points are those of the tickets, and survive a kill."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pruning import method, problem
from recorders import Fragile, Killed, Memory

from lth_runner.core.errors import ConfigError
from lth_runner.report import draw
from lth_runner.studies.mode_connectivity import ConnectivityGrid, ModeConnectivity
from lth_runner.studies.winning_tickets import LevelGrid, WinningTickets
from lth_runner.study import Outcome

pytestmark = pytest.mark.usefixtures("one_thread")

IMP = method("imp")
LEVELS = WinningTickets(
    grid="small",
    grids={"small": LevelGrid(levels=3, trials=2, reinitialised=[1, 3], starts=2, random=[3], length="2ep")},
    labels={},
)
CONNECTED = ModeConnectivity(
    grid="small",
    grids={"small": ConnectivityGrid(steps=["0it", "9it"], levels=[0, 2], trials=2, orders=3, length="2ep")},
    points=5,
    train_images=100,
    controls=["reinitialised", "random_mask"],
)


def ran(study: Any, folder: Path, recorder: Memory | None = None) -> Outcome:
    return study.run(problem(), {"imp": IMP}, recorder or Memory(folder))


def test_every_level_is_measured_as_the_method_finds_it(tmp_path: Path) -> None:
    outcome = ran(LEVELS, tmp_path / "study")
    for seed in (0, 1):
        asked = [0.8, 0.64, 0.512]
        found = IMP.find_each(problem(seed), Memory(tmp_path / f"{seed}"), asked)
        for level, each in enumerate(found, start=1):
            (point,) = [p for p in outcome.points if (p["curve"], p["seed"], p["level"]) == ("imp", seed, level)]
            assert point["kept"] == each.ticket.kept()
            for fact in ("early_stop_step", "early_stop_accuracy", "steps"):
                assert point[fact] == each.ticket.facts[fact]
    counts = {(row["curve"], row["level"]): row["trials"] for row in outcome.rows}
    assert counts == {
        ("imp", 0): 2, ("imp", 1): 2, ("imp", 2): 2, ("imp", 3): 2, ("imp, reinitialised", 1): 4,
        ("imp, reinitialised", 3): 4, ("imp, random_mask", 3): 2,
    }  # fmt: skip
    kept = [point["kept"] for point in outcome.points if point["curve"] == "imp" and point["seed"] == 0]
    assert all(wider > narrower for wider, narrower in pairwise(kept))
    assert outcome.tickets["imp"].kept() == kept[-1] and "accuracy" in outcome.tickets["imp"].claims
    assert draw.figure(outcome.points, outcome.figures["levels"]).axes


def test_the_dense_copies_part_where_they_are_told_to(tmp_path: Path) -> None:
    outcome = ran(CONNECTED, tmp_path)
    points = [point for point in outcome.points if point["seed"] == 0]
    curves = {curve: [p for p in points if p["curve"] == curve] for curve in {p["curve"] for p in points}}
    assert {curve: len(found) for curve, found in curves.items()} == {
        "dense": 6, "tickets": 6, "reinitialised": 3, "random masks": 3, "successive levels": 2
    }  # fmt: skip
    assert {p["step"] for p in curves["dense"]} == {0, 9}
    assert all(p["barrier_test"] >= 0 and p["barrier_train"] >= 0 for p in points)
    parted, start = curves["dense"][3:], curves["dense"][:3]
    assert sum(p["error_test"] for p in parted) != sum(p["error_test"] for p in start)
    dense = [{**p, "curve": "", "name": "", "axis": ""} for p in start]
    assert dense == [{**p, "curve": "", "name": "", "axis": ""} for p in curves["tickets"][:3]], "level 0 is dense"
    assert draw.figure(outcome.points, outcome.figures["barriers"]).axes


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 12, 25, 33])
@pytest.mark.parametrize("study", [LEVELS, CONNECTED], ids=["levels", "connected"])
def test_killed_anywhere_it_goes_on_to_the_same_points(tmp_path: Path, study: Any, after: int) -> None:
    whole = ran(study, tmp_path / "whole")
    with pytest.raises(Killed):
        ran(study, tmp_path / "killed", Fragile(tmp_path / "killed", bars=after))
    again = Memory(tmp_path / "killed")
    outcome = ran(study, tmp_path / "killed", again)
    assert outcome.points == whole.points and outcome.rows == whole.rows
    third = Memory(tmp_path / "killed")
    assert ran(study, tmp_path / "killed", third).points == whole.points and not third.bars, "nothing is done twice"


def test_what_the_studies_cannot_do_is_refused(tmp_path: Path) -> None:
    other: Any = object()
    for study, sentence in ((LEVELS, "takes method=imp"), (CONNECTED, "method=imp alone")):
        with pytest.raises(ConfigError, match=sentence):
            study.check({"other": other})
    with pytest.raises(ConfigError, match="beyond the last"):
        LevelGrid(levels=2, trials=1, reinitialised=[3], starts=1, random=[], length="1ep")
    with pytest.raises(ConfigError, match=r"set method\.validation"):
        LEVELS.run(problem(), {"imp": replace(IMP, validation=0)}, Memory(tmp_path))
