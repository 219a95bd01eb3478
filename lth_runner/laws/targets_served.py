"""How many targets one set of n numbers serves: with a mask for each, and with one mask for all of d at once.

With a mask for each, the targets share one row of numbers, or have a row each; all of them must be within epsilon. With
one mask the numbers are vectors, and every coordinate must be within epsilon: by the Poisson law n ~ d log2(1/epsilon),
where Becchetti et al. (arXiv:2207.13944) prove that n = O(d^3 log(1/epsilon) (log(1/epsilon) + log d)) is enough for
every target of the cube at once.
"""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.laws.boxes import all_vector_sums, closest_vector
from lth_runner.laws.curve import Curve, check_no_methods
from lth_runner.laws.first_hits import NEVER
from lth_runner.laws.poisson.coverage import coverage
from lth_runner.laws.poisson.quenched import failure, tilted
from lth_runner.laws.poisson.reach import quenched_floor
from lth_runner.laws.poisson.variants import box_failure, box_log_rate
from lth_runner.laws.predicted import LocalPoisson
from lth_runner.laws.statistics import binomial_interval, order_quantile, quantile_interval
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Point
from lth_runner.report.tables import Column, Row
from lth_runner.study import Outcome

HALVINGS = 60
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


@dataclass(frozen=True, kw_only=True)
class OneMask:
    """One mask for all targets.

    Attributes:
        n: by number of targets, ascending.
        epsilons: for which the n is read off, between those by straight lines in log2 of the error.
        share: of sets that must be within epsilon.
        instances: sets of vectors and targets.
    """

    n: dict[int, list[int]]
    epsilons: list[float]
    share: float
    instances: int

    def __post_init__(self) -> None:
        checks.fraction("share", self.share)
        checks.integer("instances", self.instances, at_least=1)


@dataclass(frozen=True, kw_only=True)
class EveryTarget:
    """One mask, chosen for the target: every target of the cube [-1, 1]^d must be within epsilon of some sum.

    Targets on a grid of spacing epsilon bound it from both sides: where one of them is further than epsilon off, the
    cube is not covered; where all are within epsilon / 2, it is.

    Attributes:
        n: by d, ascending.
        epsilon: allowed error; 2 / epsilon is whole.
        share: of sets that must cover the cube.
        rows: sets of vectors.
    """

    n: dict[int, list[int]]
    epsilon: float
    share: float
    rows: int

    def __post_init__(self) -> None:
        checks.fraction("share", self.share)
        checks.integer("rows", self.rows, at_least=1)
        if abs(2 / self.epsilon - round(2 / self.epsilon)) > 1e-9:
            raise ConfigError(f"2 / epsilon must be whole, got epsilon={self.epsilon}")


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
        parts = {"shared": self._shared, "own": self._own, "one": self._one, "every": self._every}
        for name, ask in parts.items():
            started = time.perf_counter()
            points += ask(problem, recorder)
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

    def _draw(self, distribution: Distribution, streams: Streams, path: tuple[str, ...], *shape: int) -> np.ndarray:
        return distribution.quantile(streams.uniform(path, 0, math.prod(shape)).reshape(shape))

    def _shared(self, problem: Problem, recorder: Recorder) -> list[Point]:
        """All targets from one row."""
        ask = self.fresh
        rows = self._draw(self.numbers, problem.streams, ("shared", "values"), ask.rows, ask.max_n)
        targets = self._draw(self.targets, problem.streams, ("shared", "targets"), ask.rows, ask.targets[-1])
        first = np.empty((ask.rows, ask.targets[-1], len(ask.epsilons)), np.int64)
        with recorder.progress("one row for all targets", ask.rows) as bar:
            for at, (row, wanted) in enumerate(zip(rows, targets, strict=True)):
                first[at] = first_hits(row, wanted, ask.epsilons)
                bar.advance(1)
        points: list[Point] = []
        some = slice(ask.law_rows)
        laws = {n: shared_law(rows[some, :n], targets[some], ask) for n in range(1, ask.max_n + 1)}
        for e, epsilon in enumerate(ask.epsilons):
            for m_at, m in enumerate(ask.targets):
                n, low, high = quantile_interval(first[:, :m, e].max(axis=1), ask.share, self.confidence)
                law = next((n for n, shares in laws.items() if shares[e, m_at] >= ask.share), None)
                if max(n, low) < NEVER:
                    upper = high if high < NEVER else None
                    points.append(
                        _point("fresh", "shared", "one row for all", m, epsilon, ask.share, (n, low, upper), law)
                    )
                    recorder.metrics(curve="shared", targets=m, epsilon=epsilon, n=n)
        return points

    def _own(self, problem: Problem, recorder: Recorder) -> list[Point]:
        """Each target from a row of its own: all of m are served with the mth power of one's probability."""
        ask = self.fresh
        epsilons = np.array(ask.epsilons)
        hits = ask.own.hits(problem, epsilons, recorder)
        law = ask.law.failures(ask.own, problem, epsilons, recorder)
        counts = np.stack([hits.failures(n) for n in range(ask.own.search.max_n + 1)])
        low, high = binomial_interval(counts, ask.own.instances, self.confidence)
        points: list[Point] = []
        for e, epsilon in enumerate(ask.epsilons):
            for m in ask.targets:
                rare = -math.expm1(math.log(ask.share) / m)  # each may fail so often
                shares = (counts[:, e] / ask.own.instances, low[:, e], high[:, e], law[:, e])
                n, least, most, predicted = (first_at_most(share, rare) for share in shares)
                if n is not None:
                    points.append(
                        _point("fresh", "own", "a row for each", m, epsilon, ask.share, (n, least, most), predicted)
                    )
                    recorder.metrics(curve="own", targets=m, epsilon=epsilon, n=n)
        return points

    def _one(self, problem: Problem, recorder: Recorder) -> list[Point]:
        """Quantiles of the largest coordinate's error for every n and d, and the n of some epsilons."""
        ask, streams = self.one, problem.streams
        points: list[Point] = []
        with recorder.progress("one mask", sum(map(len, ask.n.values()))) as bar:
            for d, counts in ask.n.items():
                values = self._draw(self.numbers, streams, ("one", str(d), "values"), ask.instances, counts[-1], d)
                targets = self._draw(self.targets, streams, ("one", str(d), "targets"), ask.instances, d)
                found = []
                for n in counts:
                    error, _ = closest_vector(values[:, :n], targets)
                    got = order_quantile(error, ask.share, self.confidence)
                    law = box_quantile(box_log_rate(values[:, :n], targets), d, ask.share)
                    found.append({
                        "panel": "errors", "curve": str(d), "targets": d, "n": n,
                        "error": got.value, "low": got.low, "high": got.high, "law": law,
                    })  # fmt: skip
                    recorder.metrics(**found[-1])
                    bar.advance(1)
                points += [*found, *self._read(d, found)]
        return points

    def _read(self, d: int, found: Sequence[Point]) -> list[Point]:
        """The n at which the measured and the predicted quantile pass each epsilon."""
        ask = self.one
        points: list[Point] = []
        for epsilon in ask.epsilons:
            n, low, high, law = (passed(found, column, epsilon) for column in ("error", "low", "high", "law"))
            if n is not None:
                name = f"{epsilon:g}"
                points.append(_point("one", name, f"epsilon {name}", d, epsilon, ask.share, (n, low, high), law))
        return points

    def _every(self, problem: Problem, recorder: Recorder) -> list[Point]:
        """Bounds of the n that covers the cube."""
        ask = self.every
        points: list[Point] = []
        with recorder.progress("every target", ask.rows * sum(map(len, ask.n.values()))) as bar:
            for d, counts in ask.n.items():
                values = self._draw(self.numbers, problem.streams, ("every", str(d)), ask.rows, counts[-1], d)
                axis = np.linspace(-1, 1, round(2 / ask.epsilon) + 1)
                grid = np.stack(np.meshgrid(*[axis] * d), axis=-1).reshape(-1, d)
                worst = np.empty((len(counts), ask.rows))
                for at, n in enumerate(counts):
                    for b, row in enumerate(values):
                        tree = KDTree(all_vector_sums(row[:n]), balanced_tree=False, compact_nodes=False)
                        worst[at, b] = tree.query(grid, p=np.inf)[0].max()
                        bar.advance(1)
                for name, limit in (("lower", ask.epsilon), ("upper", ask.epsilon / 2)):
                    within = np.where(worst <= limit + 1e-12, np.array(counts)[:, None], NEVER).min(axis=0)
                    n, low, high = quantile_interval(within, ask.share, self.confidence)
                    if n < NEVER:
                        upper = high if high < NEVER else None
                        label = f"{name} bound, every target of the cube"
                        points.append(_point("every", name, label, d, ask.epsilon, ask.share, (n, low, upper), None))
                        recorder.metrics(curve=name, targets=d, epsilon=ask.epsilon, n=n)
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


def box_quantile(log_rate: np.ndarray, dimensions: int, level: float) -> float:
    """The quantile of the largest coordinate's error over all instances, each equally likely."""
    low, high = -100.0, 100.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        with np.errstate(over="ignore"):
            failed = box_failure(log_rate, dimensions, math.exp(middle)).mean()
        low, high = (low, middle) if failed <= 1 - level else (middle, high)
    return math.exp(high)


def passed(points: Sequence[Point], column: str, epsilon: float) -> float | None:
    """The n at which an error passes epsilon, between those of the points by a straight line in its logarithm."""
    for before, there in itertools.pairwise(points):
        if before[column] > epsilon >= there[column]:
            share = math.log(before[column] / epsilon) / math.log(before[column] / there[column])
            return before["n"] + share * (there["n"] - before["n"])
    return None


def first_at_most(shares: np.ndarray, limit: float) -> int | None:
    """The first index whose share is at most `limit`."""
    enough = np.flatnonzero(shares <= limit)
    return int(enough[0]) if enough.size else None


WHAT = {"fresh": "a mask for each target", "one": "one mask for all", "every": "one mask, any target of the cube"}


def _point(
    panel: str, curve: str, label: str, targets: int, epsilon: float, share: float,
    n: tuple[float, float | None, float | None], law: float | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "panel": panel, "curve": curve, "label": label, "targets": targets, "epsilon": epsilon, "share": share,
        "n": n[0], "n_low": n[1], "n_high": n[2], "n_law": law,
    }  # fmt: skip


def _row(point: Point) -> Row:
    return {"what": WHAT[point["panel"]], **{key: value for key, value in point.items() if key != "panel"}}
