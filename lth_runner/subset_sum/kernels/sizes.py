"""Fewest terms by two halves whose sums are grouped by number of terms, each group sorted: bounded work always."""

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.subset_sum.kernels.sums import mask_of_sum, subset_sums, write_mask


@compiled(nogil=True)
def solve(
    values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, solved: np.ndarray,
    epsilon: float, min_terms: int, binomials: np.ndarray,
) -> None:  # fmt: skip
    """Writes to `chosen` the answer of every instance in `rows` within epsilon; none may have one below `min_terms`.

    `solved` tells which; the others' `chosen` is left as it was. `binomials[m, k]` = C(m, k).
    """
    n = values.shape[1]
    h = n // 2
    shared = values.shape[0] == 1
    left, left_spare = np.empty(1 << h), np.empty(1 << h)
    right, right_spare = np.empty(1 << (n - h)), np.empty(1 << (n - h))
    for at in range(rows.size):
        b = rows[at]
        row = values[0 if shared else b]
        low = grouped_sums(row[:h], left, left_spare, binomials)
        high = grouped_sums(row[h:], right, right_spare, binomials)
        solved[at] = False
        for terms in range(min_terms, n + 1):
            error, low_terms, x, y = best_of_size(low, high, h, n - h, terms, float(targets[b]), binomials)
            if error <= epsilon:
                trace(row[:h], x, low_terms, left, chosen[b, :h])
                trace(row[h:], y, terms - low_terms, right, chosen[b, h:])
                solved[at] = True
                break


@compiled(nogil=True)
def grouped_sums(values: np.ndarray, sums: np.ndarray, spare: np.ndarray, binomials: np.ndarray) -> np.ndarray:
    """All subset sums, those of 0 terms first, then 1, ..., ascending within each group; in one of the two buffers.

    With one value more, the group of k terms is the old one merged with the old group of k - 1 terms, shifted.
    """
    sums[0] = 0.0
    for m in range(values.size):
        value = values[m]
        at = 0
        stay = 0
        move = 0
        for terms in range(m + 2):
            stay_end = stay + binomials[m, terms]
            move_end = move + (binomials[m, terms - 1] if terms else 0)
            while stay < stay_end or move < move_end:
                if move == move_end or (stay < stay_end and sums[stay] <= sums[move] + value):
                    spare[at] = sums[stay]
                    stay += 1
                else:
                    spare[at] = sums[move] + value
                    move += 1
                at += 1
        sums, spare = spare, sums
    return sums


@compiled(nogil=True)
def best_of_size(
    low: np.ndarray, high: np.ndarray, low_count: int, high_count: int, terms: int, target: float, binomials: np.ndarray
) -> tuple[float, int, float, float]:
    """The smallest error with so many terms: the error, terms from the first half, and the sum of either half."""
    best, best_terms, best_x, best_y = np.inf, 0, 0.0, 0.0
    low_start = 0
    for low_terms in range(min(terms, low_count) + 1):
        low_end = low_start + binomials[low_count, low_terms]
        high_terms = terms - low_terms
        if high_terms <= high_count:
            i = low_start
            first = group_start(high_count, high_terms, binomials)
            j = first + binomials[high_count, high_terms] - 1
            while i < low_end and j >= first:
                error = low[i] + high[j] - target
                if abs(error) < best:
                    best, best_terms, best_x, best_y = abs(error), low_terms, float(low[i]), float(high[j])
                below = error < 0
                i += below
                j -= 1 - below
        low_start = low_end
    return best, best_terms, best_x, best_y


@compiled(nogil=True)
def group_start(count: int, terms: int, binomials: np.ndarray) -> int:
    """Where the sums of so many terms begin."""
    start = 0
    for k in range(terms):
        start += binomials[count, k]
    return start


@compiled(nogil=True)
def trace(values: np.ndarray, total: float, terms: int, sums: np.ndarray, chosen: np.ndarray) -> None:
    """Writes a subset with this very sum and number of terms to `chosen`; overwrites `sums`."""
    subset_sums(values, sums)
    write_mask(chosen, mask_of_sum(sums, total, terms))
