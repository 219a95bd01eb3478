"""What failures are made of: targets out of reach, and targets that all sums miss. Is their number the sum of two laws?

Three predictions of the same count, each "term of the local law + reach floor", nothing fitted:

averaged: neither term needs drawn numbers; the normal density knows no end of the reach, so that both terms count some
    of the failures out of reach.
given: the normal density of each instance's very numbers, over the instances within reach only.
tilted: the saddlepoint density in its place.

The floor is in all three the one computed from the distribution (`poisson.reach.floor`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.curve import Curve, check_no_methods
from lth_runner.laws.one_law import holds_from, ratios
from lth_runner.laws.poisson import averaged, quenched, reach
from lth_runner.laws.poisson.numbers import moments
from lth_runner.laws.predicted import OVER, half_windows
from lth_runner.laws.statistics import Estimate, binomial_interval
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column, Row
from lth_runner.study import Outcome

KINDS = ("averaged", "given", "tilted")
LEVELS = (np.arange(120) + 0.5) / 120  # of the targets over which floor and averaged term go; none is the median
COLUMNS = {
    "label": Column("numbers", "text"),
    "epsilon": Column("epsilon", "number"),
    "n": Column("n", "count"),
    "instances": Column("instances", "count"),
    "failures": Column("failures", "count"),
    "out": Column("of them out of reach", "count"),
    "floor": Column("reach floor", "number"),
    **{
        f"{kind}_{end}": Column(heading, "number")
        for kind, words in zip(KINDS, ("averaged term", "term given the numbers", "saddlepoint term"), strict=True)
        for end, heading in (
            ("term", words),
            ("ratio", f"failures / ({words} + floor)"),
            ("low", "at least"),
            ("high", "at most"),
        )
    },
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Instances whose failures are counted.

    Attributes:
        curve: followed to the largest n.
        epsilon: allowed absolute error; below half a grid step it asks for exact sums.
        n: ascending.
    """

    curve: Curve
    epsilon: float
    n: list[int]

    def __post_init__(self) -> None:
        checks.positive("epsilon", self.epsilon)
        if not self.n or sorted(self.n) != self.n or not 0 < self.n[0] <= self.n[-1] <= self.curve.search.max_n:
            raise ConfigError(f"{self.curve.label} needs some n, ascending, from 1 to its search's max_n: got {self.n}")

    @property
    def draws(self) -> list[int]:
        """Numbers of each problem, by n."""
        return [n // self.curve.law.offered_per_draw for n in self.n]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Cases drawn on the same axes."""

    title: str
    cases: dict[str, Case]


@dataclass(frozen=True, kw_only=True)
class FailureTerms:
    """Counts of failures over each of the three predicted sums, with exact binomial intervals.

    Attributes:
        panels: by name.
        confidence: of the intervals.
        least_failures: a row is left out where fewer instances fail.
        holds_within: a sum counts as right where the interval of its ratio reaches 1 / (1 + this) to 1 + this.
    """

    panels: dict[str, Panel]
    confidence: float
    least_failures: int
    holds_within: float

    def __post_init__(self) -> None:
        checks.fraction("study.confidence", self.confidence)
        checks.integer("study.least_failures", self.least_failures, at_least=1)
        checks.positive("study.holds_within", self.holds_within)
        if not self.panels:
            raise ConfigError("study.panels must not be empty: give it some cases")

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Counts and predicts every case; see `Study.run`."""
        self.check(methods)
        points: list[Point] = []
        summary: dict[str, Any] = {}
        for panel, name, case in self._cases():
            started = time.perf_counter()
            found = self._points(case, problem, recorder)
            points += [{"panel": panel, "curve": name, "label": case.curve.label, **point} for point in found]
            for kind in KINDS:
                summary[f"{name}/{kind}_holds_from_n"] = holds_from(found, kind, self.holds_within)
            summary[f"{name}/time_s"] = time.perf_counter() - started
            recorder.say(f"{case.curve.label}: {_line(found)}")
        return Outcome(
            rows=[_row(point) for point in points],
            columns=COLUMNS,
            summary=summary,
            points=points,
            figures={"failure_terms": self._figure()},
        )

    def _cases(self) -> Iterator[tuple[str, str, Case]]:
        for key, panel in self.panels.items():
            for name, case in panel.cases.items():
                yield key, name, case

    def _points(self, case: Case, problem: Problem, recorder: Recorder) -> list[dict[str, Any]]:
        """Of every n at which enough fail."""
        counts = counted(case, problem, recorder)
        floor, annealed = without_numbers(case, problem)
        shares = {"averaged": annealed, **{kind: counts[kind] / case.curve.instances for kind in KINDS[1:]}}
        low, high = binomial_interval(counts["failures"], case.curve.instances, self.confidence)
        points = []
        for at, n in enumerate(case.n):
            failures = int(counts["failures"][at])
            measured = Estimate(failures / case.curve.instances, float(low[at]), float(high[at]))
            line: dict[str, Any] = {
                "epsilon": case.epsilon, "n": n, "instances": case.curve.instances, "failures": failures,
                "out": int(counts["out"][at]), "floor": float(floor[at]), **measured.flat("share"),
            }  # fmt: skip
            for kind, share in shares.items():
                line |= {f"{kind}_term": float(share[at]), **ratios(kind, measured, float(share[at] + floor[at]))}
            recorder.metrics(curve=case.curve.label, **line)
            if failures >= self.least_failures:
                points.append(line)
        return points

    def _figure(self) -> Description:
        return {
            "kind": "failure_terms",
            "within": self.holds_within,
            "panels": {name: panel.title for name, panel in self.panels.items()},
            "labels": {name: case.curve.label for _, name, case in self._cases()},
        }


def counted(case: Case, problem: Problem, recorder: Recorder) -> dict[str, np.ndarray]:
    """(N,) each: failures, those of them out of reach, and failures within reach by the two laws given the numbers.

    Law and count are those of the very same instances.
    """
    curve, epsilons = case.curve, np.array([case.epsilon])
    law = curve.fitted_law(problem)
    window = float(half_windows(epsilons, law.step)[0])
    total = {key: np.zeros(len(case.n)) for key in ("failures", "out", "given", "tilted")}
    with recorder.progress(curve.label, curve.instances) as bar:
        for path, targets in curve.blocks(problem):
            first = curve.search.first(law, problem.streams, path, targets, epsilons).first[:, 0]
            drawn, usable = law.draw(problem.streams, path, targets.size, 0, case.draws[-1])
            total["failures"] += [np.count_nonzero(first > n) for n in case.n]
            found = missed(np.where(usable, drawn, 0.0), targets, case.draws, window)
            for key, counts in zip(("out", "given", "tilted"), found, strict=True):
                total[key] += counts
            bar.advance(targets.size)
    return total


def missed(values: np.ndarray, targets: np.ndarray, draws: Sequence[int], window: float) -> np.ndarray:
    """(3, N) instances out of reach, and those within reach that fail by the normal and by the saddlepoint density.

    Args:
        values: (problems, B, draws); 0 for a number that may not be used.
        targets: (B,).
        draws: (N,), ascending.
        window: half of the length in which a sum counts.
    """
    total = np.zeros((3, len(draws)))
    rows = np.flatnonzero(np.abs(targets) > window)  # others need no number
    for at, count in enumerate(draws):
        given = values[:, rows, :count]
        out = np.any([reach.quenched_floor(part, targets[rows], window) for part in given], axis=0)
        total[0, at] = np.count_nonzero(out)
        within, given = targets[rows][~out], given[:, ~out]
        laws = [[kind(part, within) for part in given] for kind in (quenched.normal, quenched.tilted)]
        normal, tilted = (_any_fails(each, window) for each in laws)
        total[1:, at] = normal.sum(), tilted.sum()
        out[~out] = np.maximum(normal, tilted) > OVER  # what more numbers may still change
        rows = rows[out]
    return total


def without_numbers(case: Case, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(N,) each: the reach floor and the averaged term, from the distribution of the numbers alone."""
    curve = case.curve
    law = curve.fitted_law(problem)
    targets, weights = np.unique(curve.targets_at(problem, LEVELS), return_counts=True)
    window = float(half_windows(np.array([case.epsilon]), law.step)[0])
    numbers, problems = law.equally_likely(), law.problems
    floors = np.array([[floor_at(numbers, count, w, window) for w in targets] for count in case.draws])
    terms = np.array([[term_at(numbers, count, w, window) for w in targets] for count in case.draws])
    return tuple((1 - (1 - part) ** problems) @ (weights / weights.sum()) for part in (floors, terms))


def floor_at(numbers: np.ndarray, count: int, target: float, window: float) -> float:
    """The probability that the numbers of the target's sign together stay further than `window` below it."""
    z = abs(target) - window
    return reach.floor(numbers * np.sign(target), count, z) if z > 0 else 0.0


def term_at(numbers: np.ndarray, count: int, target: float, window: float) -> float:
    """The local law averaged over numbers, of which those that are 0 may not be used."""
    usable = numbers[numbers != 0]
    one = moments(usable)

    def failure_of(k: int) -> float:
        return float(averaged.failure(k, one, target, window)[0]) if k else float(abs(target) > window)

    return averaged.with_losses(failure_of, count, usable.size / numbers.size)


def _any_fails(laws: Sequence[quenched.LocalLaw], window: float) -> np.ndarray:
    """(B,) the probability that one of an instance's problems fails, independently given the numbers."""
    return 1 - np.prod([1 - quenched.failure(law, window) for law in laws], axis=0)


def _row(point: Point) -> Row:
    return {name: point[name] for name in COLUMNS}


def _line(points: Sequence[Point]) -> str:
    last = points[-1] if points else None
    if last is None:
        return "too few failures at every n"
    ratios = ", ".join(f"{kind} {last[f'{kind}_ratio']:.3f}" for kind in KINDS)
    return f"{last['out']:,} of {last['failures']:,} failures out of reach at n = {last['n']}; failures / sum: {ratios}"
