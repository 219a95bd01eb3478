"""Exact SubsetSum by meeting in the middle: the default solver."""

from dataclasses import dataclass
from functools import cache
from math import comb
from typing import ClassVar

import numba
import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.interface import Status, Subsets, certify, check_instances
from lth_runner.subset_sum.kernels import bitmap, few, halves, mirrored, shared, sizes
from lth_runner.subset_sum.threads import run

MAX_VALUES = 40  # two halves of 2^20 sums: 32 MiB for each thread
MAX_BITMAP_VALUES = 24  # beyond, too many sums share the first-level cache and sorting wins
MAX_LISTED = 20_000  # subsets of one size that are looked at one by one
MAX_TABLE_VALUES = 22
NS_PER_MERGE, NS_PER_LOOKUP, NS_PER_HALF_SUM = 3.0, 60.0, 2.0  # only speed depends on them


@dataclass(frozen=True, kw_only=True)
class MeetInMiddle:
    """Solves every instance exactly, on all of numba's threads, in 2^(n/2) time and memory.

    More than MAX_BITMAP_VALUES values that come in pairs a, -a take 3^(n/4).

    Exact up to the rounding of float64 sums: subsets whose errors differ by less than that are equally good.
    """

    exact: ClassVar[bool] = True

    def check_size(self, n: int) -> None:
        if n > MAX_VALUES:
            raise ConfigError(
                f"meet in the middle of n={n} values was refused (at most {MAX_VALUES}): "
                f"offer fewer, as with n={MAX_VALUES}, or choose the solver milp, which has no limit"
            )

    def solve(self, values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> Subsets:
        check_instances(values, targets, epsilon, objective)
        self.check_size(values.shape[1])
        values = np.ascontiguousarray(values, np.float64)
        targets = np.ascontiguousarray(targets, np.float64)
        chosen = np.zeros((targets.size, values.shape[1]), bool)
        search = closest if objective == "closest" else sparsest
        search(values, targets, np.arange(targets.size), chosen, epsilon)
        return certify(values, targets, chosen, epsilon)


def closest(values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, epsilon: float) -> None:
    """Writes the closest subsets of the instances `rows`; epsilon plays no part."""
    n = values.shape[1]
    if n > MAX_BITMAP_VALUES and in_pairs(values):
        run(mirrored.solve, values, targets, rows, chosen)
        return
    table_values = worthwhile_table(n, rows.size) if values.shape[0] == 1 else 0
    if table_values:
        sums, masks = shared.sorted_table(values[0, :table_values])
        ascending = rows[np.argsort(targets[rows])]  # neighbours in time are neighbours in memory
        run(shared.solve, values, targets, ascending, chosen, sums, masks, table_values)
        return
    if n <= MAX_BITMAP_VALUES:
        rows = rows[~run(bitmap.solve, values, targets, rows, chosen)]
    run(halves.solve, values, targets, rows, chosen)


def in_pairs(values: np.ndarray) -> bool:
    """Whether value 2 j + 1 of every row is value 2 j negated."""
    return values.shape[1] % 2 == 0 and np.array_equal(values[:, ::2], -values[:, 1::2])


def sparsest(values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, epsilon: float) -> None:
    """Writes the sparsest subsets: small sizes one by one; then, where any subset is within epsilon, size by size."""
    n = values.shape[1]
    listed = listed_terms(n)
    rows = rows[~run(few.solve, values, targets, rows, chosen, epsilon, listed, binomials(n))]
    closest(values, targets, rows, chosen, epsilon)
    if listed < n:
        found = certify(values if len(values) == 1 else values[rows], targets[rows], chosen[rows], epsilon)
        rows = rows[found.status == Status.WITHIN_EPSILON]
        run(sizes.solve, values, targets, rows, chosen, epsilon, listed + 1, binomials(n))


def listed_terms(n: int) -> int:
    """The largest number of terms up to which every size has at most MAX_LISTED subsets."""
    return next((k - 1 for k in range(1, n + 1) if comb(n, k) > MAX_LISTED), n)


@cache
def binomials(n: int) -> np.ndarray:
    """C(m, k) for m, k <= n."""
    return np.array([[comb(m, k) for k in range(n + 1)] for m in range(n + 1)], np.int64)


def worthwhile_table(n: int, count: int) -> int:
    """Values whose sums to sort once for `count` targets on one row; 0 where solving each target alone is faster."""
    threads = numba.get_num_threads()
    cost = {
        h: 2 * NS_PER_MERGE * 2**h + NS_PER_LOOKUP * 2 ** (n - h) * count / threads
        for h in range(1, min(n, MAX_TABLE_VALUES) + 1)
    }
    best = min(cost, key=cost.__getitem__)
    return best if cost[best] < NS_PER_HALF_SUM * 2 ** (n / 2) * count / threads else 0
