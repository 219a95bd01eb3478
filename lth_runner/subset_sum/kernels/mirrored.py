"""Closest subset of values that come in pairs a, -a, by two sorted halves: 3^(n/2) different sums for n pairs.

Of a pair one is taken, or the other, or none: both would be as none. So a sum is one of x_j a_j with x in {-1, 0, 1}^n.
"""

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.subset_sum.kernels.halves import meet


@compiled(nogil=True)
def solve(values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, solved: np.ndarray) -> None:
    """Writes the closest subset of every instance in `rows` to `chosen`; `solved` becomes True throughout.

    Args:
        values: (B, 2 n), or (1, 2 n) for all; 2 j and 2 j + 1 are a_j and -a_j.
    """
    n = values.shape[1] // 2
    h = n // 2
    shared = values.shape[0] == 1
    left, left_spare = np.empty(3**h + 1), np.empty(3**h + 1)
    right, right_spare = np.empty(3 ** (n - h) + 1), np.empty(3 ** (n - h) + 1)
    unsorted = np.empty(3 ** (n - h))
    low, high = left, right
    for at in range(rows.size):
        b = rows[at]
        row = values[0 if shared else b, ::2]
        if at == 0 or not shared:
            low = sorted_sums(row[:h], left, left_spare)
            high = sorted_sums(row[h:], right, right_spare)
        best_low, best_high = meet(low, high, float(targets[b]))
        trace(row[:h], best_low, unsorted, chosen[b, : 2 * h])
        trace(row[h:], best_high, unsorted, chosen[b, 2 * h :])
        solved[at] = True


@compiled(nogil=True)
def sorted_sums(values: np.ndarray, sums: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """All signed sums in ascending order, in one of the two buffers given, which hold 3^n + 1 numbers.

    Adding one value merges the sorted list with itself shifted to either side, without branches that depend on the
    numbers; infinity at its end stops the three readers.
    """
    sums[0] = 0
    size = 1
    for value in values:
        sums[size] = np.inf
        i, j, k = 0, 0, 0
        for at in range(3 * size):
            less, same, more = sums[i] - value, sums[j], sums[k] + value
            least = min(less, min(same, more))
            spare[at] = least
            takes_same = same == least
            takes_less = (not takes_same) & (less == least)
            j += takes_same
            i += takes_less
            k += not (takes_same | takes_less)
        sums, spare = spare, sums
        size *= 3
    return sums[:size]


@compiled(nogil=True)
def trace(values: np.ndarray, total: float, sums: np.ndarray, chosen: np.ndarray) -> None:
    """Writes signs with this very sum to `chosen`, for each value whether it is added and whether it is subtracted."""
    sums[0] = 0
    size = 1
    for k in range(values.size):
        for i in range(size):
            sums[size + i] = sums[i] + values[k]
            sums[2 * size + i] = sums[i] - values[k]
        size *= 3
    place = 0
    while sums[place] != total:
        place += 1
    for k in range(values.size):
        digit = place // 3**k % 3
        chosen[2 * k] = digit == 1
        chosen[2 * k + 1] = digit == 2
