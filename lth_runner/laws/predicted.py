"""What the local Poisson law says of a curve before it is measured: the share of failures at every n, no fit."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.laws.curve import Curve
from lth_runner.laws.poisson.quenched import failure, tilted
from lth_runner.problem import Problem

BLOCK = 1 << 14
PATH = ("poisson law",)
OVER = 1e-9  # an instance that fails with less probability is followed no longer: numbers more make it less


@dataclass(frozen=True, kw_only=True)
class LocalPoisson:
    """The law given the numbers (`poisson.quenched.tilted`), averaged over numbers that are drawn anew.

    Each instance counts with its probability of failure, so that fewer of them are needed than of measured ones. Where
    a weight has several problems, it fails unless all succeed, independently given the numbers.

    Attributes:
        draws: instances.
    """

    draws: int

    def __post_init__(self) -> None:
        checks.integer("draws", self.draws, at_least=1)

    def failures(self, curve: Curve, problem: Problem, epsilons: np.ndarray, recorder: Recorder) -> np.ndarray:
        """(N + 1, E) the share of instances beyond each epsilon with n = 0 to N numbers, N the curve's largest n."""
        step = curve.law.offered_per_draw
        most = curve.search.max_n // step
        total = np.zeros((most + 1, epsilons.size))
        with recorder.progress(f"{curve.label}, Poisson law", self.draws) as bar:
            for start in range(0, self.draws, BLOCK):
                count = min(BLOCK, self.draws - start)
                drawn = curve.drawn(problem, PATH, start, count, most)
                values = np.where(drawn.usable, drawn.values, 0.0)
                total += failed(values, drawn.targets, half_windows(epsilons, curve.law.step), epsilons)
                bar.advance(count)
        return np.repeat(total / self.draws, step, axis=0)[: curve.search.max_n + 1]


def predicted_n(failures: np.ndarray, share: float) -> int | None:
    """The first n whose share of failures, (N + 1,), is at most 1 - share; None where none is."""
    enough = np.flatnonzero(failures <= 1 - share)
    return int(enough[0]) if enough.size else None


def predicted_crossing(failures: np.ndarray, share: float) -> float | None:
    """The same between whole n by straight lines: what `statistics.crossing` is to measured ones."""
    n = predicted_n(failures, share)
    if n is None or n == 0:
        return n
    before, there = failures[n - 1], failures[n]
    return float(n - 1 + (share - (1 - before)) / (before - there))


def failed(values: np.ndarray, targets: np.ndarray, windows: np.ndarray, epsilons: np.ndarray) -> np.ndarray:
    """(draws + 1, E) how many of some instances fail, in the mean, as their numbers come one by one.

    Args:
        values: (problems, B, draws); 0 for a number that may not be used.
        targets: (B,).
        windows: (E,) half of the length in which a sum counts: epsilon, unless sums lie on a grid.
        epsilons: (E,), descending.
    """
    problems, _, draws = values.shape
    none = (np.abs(targets)[:, None] > epsilons).astype(float)
    total = np.zeros((draws + 1, epsilons.size))
    total[0] = none.sum(axis=0)
    rows = np.flatnonzero(none[:, -1])
    for k in range(1, draws + 1):
        success = np.ones((rows.size, epsilons.size))
        for problem in range(problems):
            law = tilted(values[problem, rows, :k], targets[rows])
            success *= 1 - np.stack([failure(law, window) for window in windows], axis=1)
        lost = (1 - success) * none[rows]
        total[k] = lost.sum(axis=0)
        rows = rows[lost[:, -1] > OVER]
        if not rows.size:
            break
    return total


def half_windows(epsilons: np.ndarray, step: float | None) -> np.ndarray:
    """(E,) half of the length in which a sum counts: 2 floor(epsilon / step) + 1 places of a grid, each for a step."""
    return epsilons if step is None else step * (np.floor(epsilons / step) + 0.5)
