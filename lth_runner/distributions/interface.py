"""What a distribution of random weights is: a quantile function, so that any block of weights can be drawn alone."""

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Distribution(Protocol):
    """A law for one random weight. Implementations are frozen dataclasses of plain numbers: a ticket stores those."""

    def fitted(self, shape: tuple[int, ...], target: np.ndarray | None) -> "Distribution":
        """The same law with what it leaves open settled.

        Args:
            shape: of the random tensor, (outputs, inputs, ...), for laws scaled by a fan.
            target: all target weights, for laws that copy their range; None where there is no target.

        Raises:
            ConfigError: the law needs a target and there is none.
        """
        ...

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        """The weight at each level in (0, 1): float64 in, float64 out, same shape."""
        ...
