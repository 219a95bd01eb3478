"""How many targets one set of n numbers serves: with a mask for each, and with one mask for all of d at once.

With a mask for each, the targets share one row of numbers, or have a row each; all of them must be within epsilon. With
one mask the numbers are vectors, and every coordinate must be within epsilon: by the Poisson law n ~ d log2(1/epsilon),
where Becchetti et al. (arXiv:2207.13944) prove that n = O(d^3 log(1/epsilon) (log(1/epsilon) + log d)) is enough for
every target of the cube at once.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.laws.curve import check_no_methods
from lth_runner.laws.fresh_masks import FreshMasks
from lth_runner.laws.one_mask import EveryTarget, OneMask
from lth_runner.laws.served import Asked
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Point
from lth_runner.report.tables import Column, Row
from lth_runner.study import Outcome

COLUMNS = {
    "what": Column("masks", "text"),
    "label": Column("curve", "text"),
    "targets": Column("targets", "count"),
    "epsilon": Column("epsilon", "error"),
    "share": Column("share of sets", "percent"),
    "n": Column("n", "number"),
    "n_low": Column("at least", "number"),
    "n_high": Column("at most", "number"),
    "n_law": Column("n by the Poisson law", "number"),
}


@dataclass(frozen=True, kw_only=True)
class TargetsServed:
    """The n that all targets take, measured by exact search, beside the Poisson law.

    Attributes:
        numbers: distribution of every number, and of every coordinate of a vector.
        targets: distribution of every target.
        fresh, one, every: the three questions.
        confidence: of every interval.
    """

    numbers: Distribution
    targets: Distribution
    fresh: FreshMasks
    one: OneMask
    every: EveryTarget
    confidence: float

    def __post_init__(self) -> None:
        checks.fraction("study.confidence", self.confidence)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Measures all three; see `Study.run`."""
        self.check(methods)
        points: list[Point] = []
        summary: dict[str, Any] = {}
        ask = Asked(problem=problem, numbers=self.numbers, targets=self.targets, confidence=self.confidence)
        parts = {
            "shared": self.fresh.shared,
            "own": self.fresh.own_rows,
            "one": self.one.points,
            "every": self.every.points,
        }
        for name, points_of in parts.items():
            started = time.perf_counter()
            points += points_of(ask, recorder)
            summary[f"{name}/time_s"] = time.perf_counter() - started
        rows = [_row(point) for point in points if point["panel"] != "errors"]
        for row in rows:
            summary[f"{row['what']}/{row['epsilon']:g}/{row['targets']}/n"] = row["n"]
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary=summary,
            points=points,
            figures={"targets_served": {"kind": "targets_served", "one_share": self.one.share}},
        )


WHAT = {"fresh": "a mask for each target", "one": "one mask for all", "every": "one mask, any target of the cube"}


def _row(point: Point) -> Row:
    return {"what": WHAT[point["panel"]], **{key: value for key, value in point.items() if key != "panel"}}
