"""The closest sum of random vectors to a target vector, in the largest coordinate's error: one mask for d targets.

Exact, by two halves: 2^(n/2) sums each; those of one half are sorted by their first coordinate, and only partners whose
first coordinate is nearer than the best error so far are looked at. As that falls like 2^(-n/d) this takes about
2^(n/2) steps for d = 1 and 2, and 2^(n - n/d) beyond.
"""

import numpy as np

from lth_runner.core import checks
from lth_runner.core.compiled import compiled
from lth_runner.core.errors import ConfigError

MOST = 40  # vectors: two halves of 2^20 sums


def closest_vector(values: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best subset of each instance.

    Args:
        values: (B, n, d) float64, n at most 40.
        targets: (B, d) float64.

    Returns:
        error: (B,) in the largest coordinate, of the sum of the very vectors chosen.
        chosen: (B, n) bool.

    Raises:
        ConfigError: wrong shapes, or more vectors.
    """
    if values.ndim != 3 or targets.shape != (values.shape[0], values.shape[2]):
        raise ConfigError(f"values must have shape (B, n, d) and targets (B, d), got {values.shape}, {targets.shape}")
    checks.integer("n", values.shape[1], at_least=1, at_most=MOST)
    h = values.shape[1] // 2
    masks = np.empty(len(values), np.int64)
    for b, (row, target) in enumerate(
        zip(np.asarray(values, np.float64), np.asarray(targets, np.float64), strict=True)
    ):
        low, high = _sums(row[:h]), _sums(row[h:])
        order = np.argsort(high[:, 0])
        at_low, at_high = _meet(low, high[order], target)
        masks[b] = at_low | (order[at_high] << h)
    chosen = (masks[:, None] >> np.arange(values.shape[1])) & 1 == 1
    sums = np.einsum("bnd,bn->bd", values, chosen)
    return np.abs(sums - targets).max(axis=1), chosen


def all_vector_sums(row: np.ndarray) -> np.ndarray:
    """(2^n, d) the sum of every subset of (n, d) vectors: entry m is that of the vectors whose bit is set in m."""
    return _sums(np.ascontiguousarray(row, np.float64))


@compiled(nogil=True)
def _meet(low: np.ndarray, high: np.ndarray, target: np.ndarray) -> tuple[int, int]:
    """The places of the best pair; `high` ascends in its first coordinate."""
    first = high[:, 0].copy()
    best, at_low, at_high = np.inf, 0, 0
    for i in range(len(low)):
        needed = target - low[i]
        start = np.searchsorted(first, needed[0])
        for step in (1, -1):
            j = start if step > 0 else start - 1
            while 0 <= j < first.size and abs(first[j] - needed[0]) < best:
                error = 0.0
                for c in range(needed.size):
                    error = max(error, abs(high[j, c] - needed[c]))
                    if error >= best:
                        break
                if error < best:
                    best, at_low, at_high = error, i, j
                j += step
    return at_low, at_high


@compiled(nogil=True)
def _sums(row: np.ndarray) -> np.ndarray:
    n, d = row.shape
    sums = np.zeros((1 << n, d))
    for i in range(n):
        size = 1 << i
        for m in range(size):
            for c in range(d):
                sums[size + m, c] = sums[m, c] + row[i, c]
    return sums
