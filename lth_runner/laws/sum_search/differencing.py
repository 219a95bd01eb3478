"""Karmarkar and Karp's differencing: the best that is known to be reached in polynomial time."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.core.streams import Streams
from lth_runner.laws.sum_search.interface import Chosen, Sums, kept


@dataclass(frozen=True, kw_only=True)
class Differencing:
    """Replaces the two largest numbers by their difference until one is left; what went opposite is told apart then.

    With m_j = (1 + x_j) / 2 the error is |t - sum_j x_j a_j| / 2, t = 2 w - sum_j a_j: a partition of the sizes
    |a_1|, ..., |a_n| and |t| into two parts of like sums. The error falls as n^(-c ln n), c = 1 / (2 ln 2) = .72.
    Numbers are float64: errors below about 1e-15 times the largest number mean nothing.

    Reference: Karmarkar and Karp 1982; the constant from arXiv:0802.4040.
    """

    def find(self, sums: Sums, streams: Streams) -> Chosen:
        del streams
        values = np.ascontiguousarray(sums.values.reshape(-1, sums.values.shape[2]))
        chosen = np.zeros(values.shape, bool)
        partition(values, np.ascontiguousarray(sums.targets.reshape(-1)), chosen)
        return kept(sums, chosen.reshape(sums.values.shape))


@compiled(nogil=True)
def partition(values: np.ndarray, targets: np.ndarray, chosen: np.ndarray) -> None:
    """Writes every row's subset to `chosen`."""
    n = values.shape[1]
    left, loser = np.empty(n + 1), np.empty((n, 2), np.int64)
    for b in range(targets.size):
        offset = 2 * targets[b] - values[b].sum()
        left[:n] = np.abs(values[b])
        left[n] = abs(offset)
        for step in range(n):
            first, second = two_largest(left)
            left[first] -= left[second]
            left[second] = -1.0  # no longer there
            loser[step] = first, second
        signs = np.ones(n + 1)
        for step in range(n - 1, -1, -1):
            signs[loser[step, 1]] = -signs[loser[step, 0]]
        flip = -signs[n] * (1.0 if offset >= 0 else -1.0)
        for j in range(n):
            chosen[b, j] = flip * signs[j] * (1.0 if values[b, j] >= 0 else -1.0) > 0


@compiled(nogil=True)
def two_largest(left: np.ndarray) -> tuple[int, int]:
    """Where the largest and the second largest number stand."""
    first, second = (0, 1) if left[0] >= left[1] else (1, 0)
    for i in range(2, left.size):
        if left[i] > left[first]:
            first, second = i, first
        elif left[i] > left[second]:
            second = i
    return first, second
