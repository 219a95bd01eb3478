"""Fewest terms by looking at all subsets of 0, 1, 2, ... terms, as long as they are few.

The sums of k terms stand in colexicographic order: those within the first m values fill the first C(m, k) places. So
the sums of k terms whose last is value m are the first C(m, k - 1) sums of k - 1 terms, plus value m: one plain scan.
"""

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.subset_sum.kernels.sums import INFINITE, nearest_bits, position_of_bits


@compiled(nogil=True)
def solve(
    values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, solved: np.ndarray,
    epsilon: float, max_terms: int, binomials: np.ndarray,
) -> None:  # fmt: skip
    """Writes to `chosen` the answer of every instance in `rows` that at most `max_terms` terms bring within epsilon.

    `solved` tells which; the others' `chosen` is left as it was. `binomials[m, k]` = C(m, k).
    """
    n = values.shape[1]
    shared = values.shape[0] == 1
    most = binomials[n, min(max_terms - 1, n // 2)]  # no size below max_terms has more subsets
    sums = np.zeros((max_terms, most))  # row k: the sums of k terms
    for at in range(rows.size):
        b = rows[at]
        row = values[0 if shared else b]
        target = float(targets[b])
        solved[at] = abs(target) <= epsilon
        if solved[at]:
            chosen[b] = False
            continue
        for terms in range(1, max_terms + 1):
            if terms > 1:
                extend(row, terms - 1, sums, binomials)
            bits, last = best_of_size(row, target, terms, sums, binomials)
            if np.int64(bits).view(np.float64) <= epsilon:
                write(row, target, terms, last, bits, sums, binomials, chosen[b])
                solved[at] = True
                break


@compiled(nogil=True)
def extend(row: np.ndarray, terms: int, sums: np.ndarray, binomials: np.ndarray) -> None:
    """Fills the sums of so many terms from those of one fewer."""
    for m in range(terms - 1, row.size):
        start = binomials[m, terms]
        for i in range(binomials[m, terms - 1]):
            sums[terms, start + i] = sums[terms - 1, i] + row[m]


@compiled(nogil=True)
def best_of_size(
    row: np.ndarray, target: float, terms: int, sums: np.ndarray, binomials: np.ndarray
) -> tuple[int, int]:
    """The smallest error (as bits) with so many terms, and the index of the last of them."""
    best = INFINITE
    last = 0
    for m in range(terms - 1, row.size):
        bits = nearest_bits(sums[terms - 1], binomials[m, terms - 1], row[m], target)
        if bits < best:
            best, last = bits, m
    return best, last


@compiled(nogil=True)
def write(
    row: np.ndarray, target: float, terms: int, last: int, bits: int, sums: np.ndarray, binomials: np.ndarray,
    chosen: np.ndarray,
) -> None:  # fmt: skip
    """Writes the subset that `best_of_size` found: its colexicographic place spells its indices, the last one first."""
    place = position_of_bits(sums[terms - 1], binomials[last, terms - 1], row[last], target, bits)
    chosen[:] = False
    chosen[last] = True
    m = last
    for left in range(terms - 1, 0, -1):
        m -= 1
        while binomials[m, left] > place:
            m -= 1
        chosen[m] = True
        place -= binomials[m, left]
