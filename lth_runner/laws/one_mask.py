"""One mask for d targets, as sums of vectors: a set of targets, and every target of the cube."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.boxes import all_vector_sums, closest_vector
from lth_runner.laws.first_hits import NEVER
from lth_runner.laws.poisson.variants import box_failure, box_log_rate
from lth_runner.laws.served import Asked, point
from lth_runner.laws.statistics import order_quantile, quantile_interval
from lth_runner.report.points import Point

HALVINGS = 60
ROUNDING = 1e-12  # of a grid's places


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

    def points(self, ask: Asked, recorder: Recorder) -> list[Point]:
        """Quantiles of the largest coordinate's error for every n and d, and the n of some epsilons."""
        points: list[Point] = []
        with recorder.progress("one mask", sum(map(len, self.n.values()))) as bar:
            for d, counts in self.n.items():
                values = ask.draw_numbers(("one", str(d), "values"), self.instances, counts[-1], d)
                targets = ask.draw_targets(("one", str(d), "targets"), self.instances, d)
                found = []
                for n in counts:
                    error, _ = closest_vector(values[:, :n], targets)
                    got = order_quantile(error, self.share, ask.confidence)
                    law = box_quantile(box_log_rate(values[:, :n], targets), d, self.share)
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
        points: list[Point] = []
        for epsilon in self.epsilons:
            n, low, high, law = (passed(found, column, epsilon) for column in ("error", "low", "high", "law"))
            if n is not None:
                name = f"{epsilon:g}"
                points.append(point("one", name, f"epsilon {name}", d, epsilon, self.share, (n, low, high), law))
        return points


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

    def points(self, ask: Asked, recorder: Recorder) -> list[Point]:
        """Bounds of the n that covers the cube."""
        points: list[Point] = []
        with recorder.progress("every target", self.rows * sum(map(len, self.n.values()))) as bar:
            for d, counts in self.n.items():
                values = ask.draw_numbers(("every", str(d)), self.rows, counts[-1], d)
                worst = np.empty((len(counts), self.rows))
                for at, n in enumerate(counts):
                    for b, row in enumerate(values):
                        worst[at, b] = worst_on_grid(row[:n], self.epsilon)
                        bar.advance(1)
                points += self._bounds(d, worst, ask.confidence, recorder)
        return points

    def _bounds(self, d: int, worst: np.ndarray, confidence: float, recorder: Recorder) -> list[Point]:
        """From (N, rows) errors of the worst target on the grid; a bound that no n reaches is left out."""
        points: list[Point] = []
        for name, limit in (("lower", self.epsilon), ("upper", self.epsilon / 2)):
            first = np.where(worst <= limit + ROUNDING, np.array(self.n[d])[:, None], NEVER).min(axis=0)
            n, low, high = quantile_interval(first, self.share, confidence)
            if n < NEVER:
                label = f"{name} bound, every target of the cube"
                ends = (n, low, high if high < NEVER else None)
                points.append(point("every", name, label, d, self.epsilon, self.share, ends, None))
                recorder.metrics(curve=name, targets=d, epsilon=self.epsilon, n=n)
        return points


def worst_on_grid(vectors: np.ndarray, spacing: float) -> float:
    """The largest error of a target on the grid of [-1, 1]^d with sums of (n, d) vectors, in the largest coordinate."""
    axis = np.linspace(-1, 1, round(2 / spacing) + 1)
    grid = np.stack(np.meshgrid(*[axis] * vectors.shape[1]), axis=-1).reshape(-1, vectors.shape[1])
    tree = KDTree(all_vector_sums(vectors), balanced_tree=False, compact_nodes=False)
    return float(tree.query(grid, p=np.inf)[0].max())


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
