"""Closest subset by two sorted halves: 2^(n/2) time and memory whatever the numbers are (Horowitz and Sahni, 1974)."""

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.subset_sum.kernels.sums import mask_of_sum, sorted_sums, subset_sums, write_mask


@compiled(nogil=True)
def solve(values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, solved: np.ndarray) -> None:
    """Writes the closest subset of every instance in `rows` to `chosen`; `solved` becomes True throughout."""
    n = values.shape[1]
    h = n // 2
    shared = values.shape[0] == 1
    left, left_spare = np.empty(1 << h), np.empty(1 << h)
    right, right_spare = np.empty(1 << (n - h)), np.empty(1 << (n - h))
    for at in range(rows.size):
        b = rows[at]
        row = values[0 if shared else b]
        low = sorted_sums(row[:h], left, left_spare)
        high = sorted_sums(row[h:], right, right_spare)
        best_low, best_high = meet(low, high, float(targets[b]))
        trace(row[:h], best_low, left, chosen[b, :h])  # the sorted sums are no longer needed
        trace(row[h:], best_high, right, chosen[b, h:])
        solved[at] = True


@compiled(nogil=True)
def meet(low: np.ndarray, high: np.ndarray, target: float) -> tuple[float, float]:
    """The entries of two ascending lists whose sum is nearest the target.

    Every step drops an entry none of whose remaining partners can beat the best pair so far. Two walks, from opposite
    corners, drop half of the entries each: they do not wait for one another.
    """
    i, j, p, q = 0, high.size - 1, low.size - 1, 0
    best, best_low, best_high = np.inf, 0.0, 0.0
    for _ in range((low.size + high.size + 1) // 2):
        if i < low.size and j >= 0:
            error = low[i] + high[j] - target
            if abs(error) < best:
                best, best_low, best_high = abs(error), low[i], high[j]
            below = error < 0
            i += below
            j -= not below
        if p >= 0 and q < high.size:
            error = low[p] + high[q] - target
            if abs(error) < best:
                best, best_low, best_high = abs(error), low[p], high[q]
            below = error < 0
            q += below
            p -= not below
    return best_low, best_high


@compiled(nogil=True)
def trace(values: np.ndarray, total: float, sums: np.ndarray, chosen: np.ndarray) -> None:
    """Writes a subset with this very sum to `chosen`; overwrites `sums`."""
    subset_sums(values, sums)
    write_mask(chosen, mask_of_sum(sums, total, -1))
