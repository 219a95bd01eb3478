"""The best mask there is: for white inputs weights are chosen one by one, so that it is known exactly."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.laws.sum_search.interface import Chosen, Sums, kept
from lth_runner.subset_sum.exhaustive import all_sums
from lth_runner.subset_sum.interface import SubsetSumSolver

MOST_LISTED = 24  # numbers of which all subsets are looked at: 128 MiB


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The closest subset of every weight's numbers; with moments these are still the masks of least error one by one.

    Attributes:
        solver: an exact one.
    """

    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        if not self.solver.exact:
            raise ConfigError(f"an optimum needs an exact solver, got {self.solver!r}: take meet_in_middle")

    def find(self, sums: Sums, streams: Streams) -> Chosen:
        del streams
        values = sums.values.reshape(-1, sums.values.shape[2])
        answer = self.solver.solve(values, sums.targets.reshape(-1), 1.0, "closest")
        return kept(sums, answer.chosen.reshape(sums.values.shape))


@dataclass(frozen=True, kw_only=True)
class ExactOfSize:
    """The closest of the subsets that have a given share of a weight's numbers, by looking at all of them.

    This is the optimum of a search that is told how many weights to keep.

    Attributes:
        density: kept / n; round(density * n) are kept for every weight.
    """

    density: float

    def __post_init__(self) -> None:
        checks.fraction("density", self.density)

    def find(self, sums: Sums, streams: Streams) -> Chosen:
        del streams
        n = sums.values.shape[2]
        if n > MOST_LISTED:
            raise ConfigError(f"subsets of one size are looked at one by one, up to n={MOST_LISTED}, got n={n}")
        of_size = np.flatnonzero(all_sums(np.ones(n)) == round(self.density * n))
        found = np.empty((sums.targets.size, n), bool)
        for at, (row, target) in enumerate(zip(sums.values.reshape(-1, n), sums.targets.flat, strict=True)):
            best = of_size[np.abs(all_sums(row)[of_size] - target).argmin()]
            found[at] = (best >> np.arange(n)) & 1 == 1
        return kept(sums, found.reshape(sums.values.shape))
