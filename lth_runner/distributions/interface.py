"""What a distribution of random weights is: a quantile function, so that any block of weights can be drawn alone.

Or, for a law of the whole tensor, a function of as many uniform numbers as it has entries.
"""

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Distribution(Protocol):
    """A law for one random weight. Implementations are frozen dataclasses of plain numbers: a ticket stores those."""

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Distribution":
        """The same distribution with what it leaves open fixed for this tensor.

        Args:
            shape: of the random tensor, (outputs, inputs, ...), for laws scaled by a fan.
            target_range: least and greatest of the target weights, for laws that copy it; None where there is none.

        Raises:
            ConfigError: the law needs a target and there is none.
        """
        ...

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        """The weight at each level in (0, 1): float64 in, float64 out, same shape."""
        ...


@runtime_checkable
class Stepped(Protocol):
    """A distribution on an even grid: its numbers, and so their sums, are multiples of `step`."""

    @property
    def step(self) -> float:
        """Above 0."""
        ...


@runtime_checkable
class JointDistribution(Protocol):
    """A distribution of a whole tensor whose entries are not independent: no quantile function gives one of them."""

    def tensor(self, uniform: np.ndarray) -> np.ndarray:
        """The tensor that belongs to independent uniform numbers of its shape."""
        ...
