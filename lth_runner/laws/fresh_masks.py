"""Targets with a mask each: all from one row of numbers, or each from a row of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.curve import Curve
from lth_runner.laws.first_hits import NEVER
from lth_runner.laws.poisson.coverage import coverage
from lth_runner.laws.poisson.quenched import failure, tilted
from lth_runner.laws.poisson.reach import quenched_floor
from lth_runner.laws.predicted import LocalPoisson
from lth_runner.laws.served import Asked, point
from lth_runner.laws.statistics import binomial_interval, quantile_interval
from lth_runner.report.points import Point


@dataclass(frozen=True, kw_only=True)
class FreshMasks:
    """A mask for each target.

    Attributes:
        epsilons: allowed absolute errors.
        targets: numbers of targets, ascending.
        share: of sets all of whose targets must be within epsilon.
        rows: shared rows of numbers; the law is asked for the first `law_rows` of them.
        max_n: the largest n of a shared row.
        own: instances with a row of their own, of the same numbers and targets.
        law: what predicts these.
    """

    epsilons: list[float]
    targets: list[int]
    share: float
    rows: int
    law_rows: int
    max_n: int
    own: Curve
    law: LocalPoisson

    def __post_init__(self) -> None:
        checks.fraction("share", self.share)
        checks.integer("rows", self.rows, at_least=1)
        checks.integer("max_n", self.max_n, at_least=1, at_most=24)
        if not self.targets or sorted(self.targets) != self.targets or sorted(self.epsilons)[::-1] != self.epsilons:
            raise ConfigError("targets must ascend and epsilons descend")

    def shared(self, ask: Asked, recorder: Recorder) -> list[Point]:
        """All targets from one row."""
        rows = ask.draw_numbers(("shared", "values"), self.rows, self.max_n)
        targets = ask.draw_targets(("shared", "targets"), self.rows, self.targets[-1])
        first = np.empty((self.rows, self.targets[-1], len(self.epsilons)), np.int64)
        with recorder.progress("one row for all targets", self.rows) as bar:
            for at, (row, sought) in enumerate(zip(rows, targets, strict=True)):
                first[at] = first_hits(row, sought, self.epsilons)
                bar.advance(1)
        points: list[Point] = []
        some = slice(self.law_rows)
        laws = {n: shared_law(rows[some, :n], targets[some], self) for n in range(1, self.max_n + 1)}
        for e, epsilon in enumerate(self.epsilons):
            for m_at, m in enumerate(self.targets):
                n, low, high = quantile_interval(first[:, :m, e].max(axis=1), self.share, ask.confidence)
                law = next((n for n, shares in laws.items() if shares[e, m_at] >= self.share), None)
                if max(n, low) < NEVER:
                    upper = high if high < NEVER else None
                    points.append(
                        point("fresh", "shared", "one row for all", m, epsilon, self.share, (n, low, upper), law)
                    )
                    recorder.metrics(curve="shared", targets=m, epsilon=epsilon, n=n)
        return points

    def own_rows(self, ask: Asked, recorder: Recorder) -> list[Point]:
        """Each target from a row of its own: all of m are served with the mth power of one's probability."""
        epsilons = np.array(self.epsilons)
        hits = self.own.hits(ask.problem, epsilons, recorder)
        law = self.law.failures(self.own, ask.problem, epsilons, recorder)
        counts = np.stack([hits.failures(n) for n in range(self.own.search.max_n + 1)])
        low, high = binomial_interval(counts, self.own.instances, ask.confidence)
        points: list[Point] = []
        for e, epsilon in enumerate(self.epsilons):
            for m in self.targets:
                rare = -math.expm1(math.log(self.share) / m)  # each may fail so often
                shares = (counts[:, e] / self.own.instances, low[:, e], high[:, e], law[:, e])
                n, least, most, predicted = (first_at_most(share, rare) for share in shares)
                if n is not None:
                    points.append(
                        point("fresh", "own", "a row for each", m, epsilon, self.share, (n, least, most), predicted)
                    )
                    recorder.metrics(curve="own", targets=m, epsilon=epsilon, n=n)
        return points


def first_hits(row: np.ndarray, targets: np.ndarray, epsilons: Sequence[float]) -> np.ndarray:
    """(M, E) the least n whose first n numbers have a sum within each epsilon of each target, or NEVER."""
    limits = np.array(epsilons)
    first = np.where(np.abs(targets)[:, None] <= limits, 0, NEVER)
    sums = np.zeros(1)
    for n, value in enumerate(row, 1):
        sums = np.sort(np.concatenate([sums, sums + value]), kind="stable")  # two ascending runs: merged
        open_ = np.flatnonzero(first[:, -1] == NEVER)
        if not open_.size:
            break
        at = np.searchsorted(sums, targets[open_])
        below, above = sums[np.maximum(at - 1, 0)], sums[np.minimum(at, sums.size - 1)]
        error = np.minimum(np.abs(below - targets[open_]), np.abs(above - targets[open_]))
        hit = (error[:, None] <= limits) & (first[open_] == NEVER)
        first[open_] = np.where(hit, n, first[open_])
    return first


def shared_law(rows: np.ndarray, targets: np.ndarray, ask: FreshMasks) -> np.ndarray:
    """(E, M) the share of rows that serve each number of targets, by the law given the numbers.

    Of a row the larger of two probabilities, neither of which is too large: that all targets are served as if they were
    independent, which neighbours are not, and that every target between -1 and 1 is served.
    """
    every = np.repeat(rows, targets.shape[1], axis=0)
    law = tilted(every, targets.ravel())
    ends = [quenched_floor(rows, np.full(len(rows), end)) for end in (-1.0, 1.0)]
    shares = np.empty((len(ask.epsilons), len(ask.targets)))
    for e, epsilon in enumerate(ask.epsilons):
        with np.errstate(divide="ignore"):
            served = np.cumsum(np.log1p(-failure(law, epsilon)).reshape(targets.shape), axis=1)
        whole = np.where(ends[0] | ends[1], 0.0, coverage(rows, -1.0, 1.0, epsilon, tilted))
        shares[e] = np.maximum(np.exp(served[:, np.array(ask.targets) - 1]), whole[:, None]).mean(axis=0)
    return shares


def first_at_most(shares: np.ndarray, limit: float) -> int | None:
    """The first index whose share is at most `limit`."""
    enough = np.flatnonzero(shares <= limit)
    return int(enough[0]) if enough.size else None
