"""Random matrices with orthonormal columns: a law of the whole matrix, whose entries are not independent."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.core.orthonormal import orthonormal


@dataclass(frozen=True, kw_only=True)
class Orthonormal:
    """The columns are orthonormal, uniformly so: Q of the QR decomposition of a matrix of independent N(0, 1).

    The signs are those that make the diagonal of R positive: with them Q is unique, and its law invariant under
    rotations. Computed in float64, so that machines may differ by roundings.

    Reference: Mezzadri, arXiv:math-ph/0609050.
    """

    kind: ClassVar[str] = "orthonormal"

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Orthonormal":
        del target_range
        if len(shape) != 2 or shape[0] < shape[1]:
            raise ConfigError(
                f"distribution orthonormal is for matrices of at least as many rows as columns, not for {shape}: take "
                "method=block, or another distribution"
            )
        return self

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        raise ConfigError("distribution orthonormal gives whole matrices, and this needs single weights: take another")

    def tensor(self, uniform: np.ndarray) -> np.ndarray:
        """See `JointDistribution`."""
        return orthonormal(uniform)
