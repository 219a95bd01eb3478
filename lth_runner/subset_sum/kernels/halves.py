"""Closest subset by two sorted halves: 2^(n/2) time and memory whatever the numbers are (Horowitz and Sahni, 1974)."""

import numba
import numpy as np

from lth_runner.subset_sum.kernels.sums import mask_of_sum, sorted_sums, subset_sums, write_mask


@numba.njit(cache=True, nogil=True)
def solve(values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, solved: np.ndarray) -> None:
    """Writes the closest subset of every instance in `rows` to `chosen`; `solved` becomes True throughout."""
    n = values.shape[1]
    h = n // 2
    shared = values.shape[0] == 1
    left, left_spare = np.empty((1 << h) + 2), np.empty((1 << h) + 2)
    right, right_spare = np.empty((1 << (n - h)) + 2), np.empty((1 << (n - h)) + 2)
    for at in range(rows.size):
        b = rows[at]
        row = values[0 if shared else b]
        low = sorted_sums(row[:h], left, left_spare)
        high = sorted_sums(row[h:], right, right_spare)
        i, j = meet(low, 1 << h, high, 1 << (n - h), targets[b])
        trace(row[:h], low[i], left_spare if low is left else left, chosen[b, :h])
        trace(row[h:], high[j], right_spare if high is right else right, chosen[b, h:])
        solved[at] = True


@numba.njit(cache=True, nogil=True)
def meet(low: np.ndarray, low_size: int, high: np.ndarray, high_size: int, target: float) -> tuple[int, int]:
    """The pair (i, j) of two ascending lists with low[i] + high[j] nearest the target; every step drops one candidate."""
    i = 0
    j = high_size - 1
    best = np.inf
    best_i = 0
    best_j = 0
    while i < low_size and j >= 0:
        error = low[i] + high[j] - target
        if abs(error) < best:
            best = abs(error)
            best_i = i
            best_j = j
        below = error < 0
        i += below
        j -= 1 - below
    return best_i, best_j


@numba.njit(cache=True, nogil=True)
def trace(values: np.ndarray, total: float, buffer: np.ndarray, chosen: np.ndarray) -> None:
    """Writes a subset with this very sum to `chosen`."""
    sums = buffer[: 1 << values.size]
    subset_sums(values, sums)
    write_mask(chosen, mask_of_sum(sums, total, -1))
