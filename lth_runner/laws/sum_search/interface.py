"""What is searched: random numbers, targets, and which error counts."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from lth_runner.core.streams import Streams


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """R networks of d target weights each, every one of them to be a sum of some of its own n random numbers.

    The networks are linear: y = sum_i w_i x_i. Of e_i = sum_j m_ij a_ij - w_i, the mean squared error of the output is
    sum_i e_i^2 for white inputs x, and e^T E[x x^T] e for others.

    Attributes:
        values: (R, d, n) float64, the numbers a.
        targets: (R, d) float64, the weights w.
        moments: (d, d) float64, E[x x^T]; None: white inputs.
    """

    values: np.ndarray
    targets: np.ndarray
    moments: np.ndarray | None

    def seen(self, errors: np.ndarray) -> np.ndarray:
        """(R, d): half of the slope of the loss by every error; with e^T it gives the loss."""
        return errors if self.moments is None else errors @ self.moments

    def losses(self, errors: np.ndarray) -> np.ndarray:
        """(R,): the mean squared error of each network's output."""
        return (errors * self.seen(errors)).sum(axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """What a search ends with.

    Attributes:
        masks: (R, d, n) bool, the numbers kept.
        used: (R, d, n) float64, what the network uses of each number: the number itself where it is kept and 0 where it
            is not, but for a search that gives all kept numbers one size.
    """

    masks: np.ndarray
    used: np.ndarray

    def errors(self, sums: Sums) -> np.ndarray:
        """(R, d) float64: what the sums are too large by."""
        return self.used.sum(axis=2) - sums.targets


def kept(sums: Sums, masks: np.ndarray) -> Chosen:
    """The numbers kept as they are."""
    return Chosen(masks=masks, used=np.where(masks, sums.values, 0.0))


@runtime_checkable
class SumSearch(Protocol):
    """One way to look for masks. Implementations are frozen keyword-only dataclasses."""

    def find(self, sums: Sums, streams: Streams) -> Chosen:
        """The masks it ends with.

        Args:
            streams: where its random numbers come from.

        Raises:
            ConfigError: it cannot search sums like these.
        """
        ...
