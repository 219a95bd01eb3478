"""One law for every best error: measured quantiles beside those of the local Poisson law, nothing fitted.

Where the law breaks is the result: distributions, n and targets are crossed, and each ratio has its interval.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.curve import check_no_methods, every_weight
from lth_runner.laws.instances import Law
from lth_runner.laws.poisson import averaged
from lth_runner.laws.poisson.numbers import Moments, moments
from lth_runner.laws.poisson.quenched import mean_error_quantile, tilted
from lth_runner.laws.statistics import Estimate, order_quantile
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column, Row
from lth_runner.study import Outcome
from lth_runner.subset_sum.interface import SubsetSumSolver

SAMPLE = 1 << 20  # numbers whose moments are taken
PLACES = 100  # targets over which the average goes; even, so that none is 0, which the empty subset meets
COLUMNS = {
    "label": Column("numbers", "text"),
    "targets": Column("targets", "text"),
    "n": Column("n", "count"),
    "out_of_reach": Column("out of reach", "percent"),
    "given_ratio": Column("given the numbers: furthest measured / predicted", "number"),
    "given_low": Column("at least", "number"),
    "given_high": Column("at most", "number"),
    "averaged_ratio": Column("averaged: furthest measured / predicted", "number"),
}


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """One distribution of random numbers.

    Attributes:
        label: for people.
        n: how many are offered, ascending.
    """

    label: str
    law: Law
    n: list[int]

    def __post_init__(self) -> None:
        for n in self.n:
            checks.integer("study.numbers n", n, at_least=1)
        if not self.n or sorted(self.n) != self.n:
            raise ConfigError(f"{self.label} needs some n, ascending: got {self.n}")


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Where the targets lie.

    Attributes:
        label: for people.
        span: uniform between these, in standard deviations of a random subset's sum; None: the weights of the run's
            target network, as they are.
    """

    label: str
    span: list[float] | None

    def __post_init__(self) -> None:
        if self.span is not None and not (len(self.span) == 2 and self.span[0] < self.span[1]):
            raise ConfigError(f"{self.label} needs a span of two ascending numbers or null, got {self.span}")

    def draw(self, levels: np.ndarray, sd: float, weights: np.ndarray | None) -> np.ndarray:
        """The targets at levels in (0, 1)."""
        if self.span is not None:
            return sd * (self.span[0] + (self.span[1] - self.span[0]) * levels)
        if weights is None:
            raise ConfigError(f"{self.label} needs a target network and there is none: choose one, or give a span")
        return np.sort(weights)[(levels * weights.size).astype(np.int64)]


@dataclass(frozen=True, kw_only=True)
class OneLaw:
    """Quantiles of the best error of exact search, measured over predicted, for all numbers, n and targets.

    Predicted twice: given the very numbers (`poisson.quenched.tilted`), and averaged over numbers of the same mean and
    variance, without drawing any (`poisson.averaged`).

    Attributes:
        numbers, targets: by name; every pair is tried.
        levels: of the quantiles.
        instances: of each pair and n.
        confidence: of every interval.
        holds_within: the law counts as holding where every ratio's interval reaches 1 / (1 + this) to 1 + this.
        solver: exact.
    """

    numbers: dict[str, Numbers]
    targets: dict[str, Targets]
    levels: list[float]
    instances: int
    confidence: float
    holds_within: float
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.integer("study.instances", self.instances, at_least=1)
        checks.fraction("study.confidence", self.confidence)
        checks.positive("study.holds_within", self.holds_within)
        for level in self.levels:
            checks.fraction("study.levels", level)
        if not (self.numbers and self.targets and self.levels):
            raise ConfigError("study.numbers, study.targets and study.levels must not be empty")

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Measures and predicts every combination; see `Study.run`."""
        self.check(methods)
        weights = every_weight(problem)
        points: list[Point] = []
        rows: list[Row] = []
        summary: dict[str, Any] = {}
        for name, numbers in self.numbers.items():
            number = _number(problem, numbers.law)
            for where, targets in self.targets.items():
                started = time.perf_counter()
                found = [self._at(problem, weights, (name, where), number, n, recorder) for n in numbers.n]
                points += [point for part in found for point in part]
                here = [self._row(numbers, targets, part) for part in found]
                rows += here
                since = {kind: holds_from(here, kind, self.holds_within) for kind in ("given", "averaged")}
                summary |= {f"{name}/{where}/{kind}_holds_from_n": n for kind, n in since.items()}
                summary[f"{name}/{where}/time_s"] = time.perf_counter() - started
                recorder.say(f"{numbers.label}, {targets.label}: {_line(here, since, self.holds_within)}")
        return Outcome(rows=rows, columns=COLUMNS, summary=summary, points=points, figures={"one_law": self._figure()})

    def _at(
        self,
        problem: Problem,
        weights: np.ndarray | None,
        names: tuple[str, str],
        number: tuple[Moments, float],
        n: int,
        recorder: Recorder,
    ) -> list[Point]:
        """A point per level."""
        (numbers, place), (one, usable) = (self.numbers[names[0]], self.targets[names[1]]), number
        sd = float(np.sqrt(n * usable * one.second / 4))
        path = ("one law", *names, str(n))
        targets = place.draw(problem.streams.uniform((*path, "targets"), 0, self.instances), sd, weights)
        drawn, used = numbers.law.draw(problem.streams, (*path, "values"), self.instances, 0, n)
        values = np.where(used[0], drawn[0], 0.0)
        errors, law = best_errors(self.solver, values, targets), tilted(values, targets)
        typical = place.draw((np.arange(PLACES) + 0.5) / PLACES, sd, weights)
        out = float(np.mean(np.isneginf(law.log_rate)))
        points = []
        for level in self.levels:
            predicted = {
                "given": mean_error_quantile(law, level),
                "averaged": averaged.error_quantile(n, one, typical, level, usable),
            }
            line = {
                "curve": names[0], "panel": names[1], "n": n, "level": level, "out_of_reach": out,
                **_measured(order_quantile(errors, level, self.confidence), predicted),
            }  # fmt: skip
            recorder.metrics(**line)
            points.append(line)
        return points

    def _row(self, numbers: Numbers, targets: Targets, points: Sequence[Point]) -> Row:
        """The ratios that are furthest from 1 among the levels."""
        given = max(points, key=lambda point: abs(np.log(point["given_ratio"])))
        other = max(points, key=lambda point: abs(np.log(point["averaged_ratio"])))
        shown = {key: given[key] for key in ("n", "out_of_reach", "given_ratio", "given_low", "given_high")}
        ends = {key: other[key] for key in ("averaged_ratio", "averaged_low", "averaged_high")}
        return {"label": numbers.label, "targets": targets.label, **shown, **ends}

    def _figure(self) -> Description:
        return {
            "kind": "one_law",
            "levels": self.levels,
            "labels": {name: numbers.label for name, numbers in self.numbers.items()},
            "panels": {name: targets.label for name, targets in self.targets.items()},
        }


def best_errors(solver: SubsetSumSolver, values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(B,) the error of the best subset of each row; zeros are left out, which saves time and changes nothing."""
    order = np.argsort(values == 0, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    count = np.count_nonzero(values, axis=1)
    errors = np.abs(targets)
    for k in np.unique(count[count > 0]):
        rows = np.flatnonzero(count == k)
        offered = np.ascontiguousarray(values[rows, :k])
        errors[rows] = solver.solve(offered, targets[rows], 1.0, "closest").error  # closest: epsilon plays no part
    return errors


def holds_from(rows: Sequence[Row], kind: str, within: float) -> int | None:
    """The least n from which on every row's furthest ratio agrees with 1 up to a factor 1 + within; None if none."""
    found = None
    for row in reversed(rows):
        if row[f"{kind}_low"] > 1 + within or row[f"{kind}_high"] < 1 / (1 + within):
            break
        found = row["n"]
    return found


def ratios(kind: str, measured: Estimate, predicted: float) -> dict[str, float]:
    """Measured over predicted with its interval, as `holds_from` reads it."""
    ends = {"ratio": measured.value, "low": measured.low, "high": measured.high}
    return {f"{kind}_{end}": value / predicted for end, value in ends.items()}


def _number(problem: Problem, law: Law) -> tuple[Moments, float]:
    """The moments of a number that may be used, and the share of those."""
    values, usable = law.draw(problem.streams, ("one law", "moments"), 1, 0, SAMPLE)
    return moments(values[usable]), float(usable.mean())


def _measured(error: Estimate, predicted: Mapping[str, float]) -> dict[str, float]:
    found = {"error": error.value, **{f"{kind}_error": value for kind, value in predicted.items()}}
    for kind, value in predicted.items():
        found |= ratios(kind, error, value)
    return found


def _line(rows: Sequence[Row], since: Mapping[str, int | None], within: float) -> str:
    last = rows[-1]
    words = [f"given the numbers {last['given_ratio']:.3f}, averaged {last['averaged_ratio']:.3f} at n = {last['n']}"]
    for kind, n in since.items():
        words.append(f"{kind} within {100 * within:g} % " + ("at none" if n is None else f"from n = {n}"))
    return "; ".join(words)
