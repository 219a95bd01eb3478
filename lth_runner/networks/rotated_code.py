"""Weights whose rows are rotated before they are put into code, so that they look normal whatever they were."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core.orthonormal import orthonormal
from lth_runner.core.streams import Streams
from lth_runner.networks.quantised import Code
from lth_runner.networks.scalar_code import matrix_shape

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RotatedCode:
    """W = V R, with V in another code and R a random orthogonal matrix of the inputs, drawn again from a seed.

    One part more than those of the code: `rotation` (1,), the seed, of 64 bits.

    Reference: as in QuIP, arXiv:2307.13304, and HIGGS, arXiv:2411.17525. Differs from the papers: inputs alone are
    rotated, by a matrix that is uniform among all orthogonal ones, where they take structured ones for speed.
    """

    kind: ClassVar[str] = "rotated_code"
    code: Code

    def parts(self, shape: Shape) -> dict[str, tuple[Shape, type[np.generic]]]:
        """Shape and type of every part."""
        return {**self.code.parts(shape), "rotation": ((1,), np.int64)}

    def width(self, part: str, shape: Shape) -> int:
        """Bits that each entry of a part takes."""
        return 64 if part == "rotation" else self.code.width(part, shape)

    def decoded(self, parts: Mapping[str, np.ndarray], shape: Shape) -> np.ndarray:
        """The weights, float64."""
        rows, columns = matrix_shape(shape)
        rotated = self.code.decoded(parts, (rows, columns))
        return (rotated @ rotation(int(parts["rotation"][0]), columns)).reshape(shape)


@functools.lru_cache(maxsize=8)
def rotation(seed: int, size: int) -> np.ndarray:
    """(size, size) orthogonal, uniform among all of them; see `orthonormal`."""
    drawn = orthonormal(Streams(seed).uniform(("rotation",), 0, size * size).reshape(size, size))
    drawn.flags.writeable = False
    return drawn
