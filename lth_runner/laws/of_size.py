"""Sums of exactly k of n numbers: the closest one to a target, and the widest gap that all of them leave.

Exact: two halves whose sums are grouped by their number of terms, each group sorted, as in
`subset_sum.kernels.sizes`; here groups beyond the largest k are not made, so that k = 1 takes tens of thousands of n.
"""

import itertools

import numpy as np

from lth_runner.core import checks
from lth_runner.core.compiled import compiled
from lth_runner.core.errors import ConfigError

MOST_SUMS = 1 << 23  # of one half: 64 MiB


def closest_of_size(values: np.ndarray, targets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The best subset of exactly `size` numbers of each instance.

    Args:
        values: (B, n).
        targets: (B,).

    Returns:
        error: (B,), of the sum of the very numbers kept.
        kept: (B, size) int64, their places, descending within each half of the numbers.

    Raises:
        ConfigError: too many sums.
    """
    n = values.shape[1]
    h = n // 2
    _check(n - h, n, size)
    kept = np.empty((targets.size, size), np.int64)
    for row, target, places in zip(np.asarray(values, np.float64), targets, kept, strict=True):
        low, low_start = _grouped(row[:h], size)
        high, high_start = _grouped(row[h:], size)
        found = _meet(_sorted(low, low_start), low_start, _sorted(high, high_start), high_start, size, float(target))
        _write(places, low, low_start, high, high_start, h, *found)
    return np.abs(np.take_along_axis(values, kept, axis=1).sum(axis=1) - targets), kept


def worst_of_size(values: np.ndarray, size: int, bound: float) -> np.ndarray:
    """(B,) the error of the worst target in [-bound, bound] with sums of exactly `size` of each row's numbers.

    Half of the widest gap between neighbouring sums whose middle lies there, or the error at an end. Exact.

    Args:
        values: (B, n).
    """
    checks.positive("bound", bound)
    _check(values.shape[1], values.shape[1], size)
    worst = np.empty(len(values))
    for b, row in enumerate(np.asarray(values, np.float64)):
        every, start = _grouped(row, size)
        sums = np.sort(every[start[size] :])
        ends = [np.abs(sums - end).min() for end in (-bound, bound)]
        middle = (sums[1:] + sums[:-1]) / 2
        gaps = np.diff(sums)[np.abs(middle) <= bound]
        worst[b] = max(*ends, gaps.max(initial=0.0) / 2)
    return worst


def _check(part: int, n: int, size: int) -> None:
    checks.integer("size", size, at_least=1, at_most=n)
    count, total = 1, 1
    for j in range(size):
        count = count * (part - j) // (j + 1)
        total += count
    if total > MOST_SUMS:
        raise ConfigError(f"{total:,} sums of up to {size} of {part} numbers are too many: take fewer than n={n}")


def _sorted(sums: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The groups of sums, each ascending."""
    return np.concatenate([np.sort(sums[first:last]) for first, last in itertools.pairwise(start)])


@compiled(nogil=True)
def _grouped(values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The sums of 0, 1, ..., `most` terms one group after the other, and where each group starts, and the last ends.

    Within a group those whose last number comes first: the order of `_places`.
    """
    start = np.zeros(most + 2, np.int64)
    count = 1
    for j in range(most + 1):
        start[j + 1] = start[j] + count
        count = count * (values.size - j) // (j + 1)
    sums, filled = np.zeros(start[most + 1]), np.zeros(most + 1, np.int64)
    filled[0] = 1
    for i in range(values.size):
        for j in range(min(most, i + 1), 0, -1):
            at = start[j] + filled[j]
            for r in range(filled[j - 1]):
                sums[at + r] = sums[start[j - 1] + r] + values[i]
            filled[j] += filled[j - 1]
    return sums, start


@compiled(nogil=True)
def _meet(
    low: np.ndarray, low_start: np.ndarray, high: np.ndarray, high_start: np.ndarray, size: int, target: float
) -> tuple[int, float, float]:
    """How many terms the first half has in the best sum, and the sum of either half."""
    best, terms, x, y = np.inf, 0, 0.0, 0.0
    for j in range(size + 1):
        i, stop = low_start[j], low_start[j + 1]
        first = high_start[size - j]
        k = high_start[size - j + 1] - 1
        while i < stop and k >= first:
            error = low[i] + high[k] - target
            if abs(error) < best:
                best, terms, x, y = abs(error), j, float(low[i]), float(high[k])
            below = error < 0
            i += below
            k -= 1 - below
    return terms, x, y


@compiled(nogil=True)
def _write(
    kept: np.ndarray, low: np.ndarray, low_start: np.ndarray, high: np.ndarray, high_start: np.ndarray, h: int,
    terms: int, x: float, y: float,
) -> None:  # fmt: skip
    """Writes the places of the numbers of the best sum: x of `terms` of the first half, y of the others."""
    others = kept.size - terms
    _places(kept[:terms], low[low_start[terms] : low_start[terms + 1]], x, 0)
    _places(kept[terms:], high[high_start[others] : high_start[others + 1]], y, h)


@compiled(nogil=True)
def _places(kept: np.ndarray, sums: np.ndarray, total: float, offset: int) -> None:
    """Writes the places of the terms of `total`, one of the unsorted sums of a group.

    The sum of rank r among those of j terms has the greatest i with C(i, j) <= r as its last number, and is the one of
    rank r - C(i, j) among those of j - 1 terms without it.
    """
    rank = 0
    while sums[rank] != total:
        rank += 1
    for at in range(kept.size):
        j = kept.size - at
        i, count, following = j - 1, 0, 1  # C(j - 1, j) and C(j, j)
        while following <= rank:
            i += 1
            count = following
            following = following * (i + 1) // (i + 1 - j)
        kept[at] = offset + i
        rank -= count
