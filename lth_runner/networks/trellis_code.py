"""Weights of a column as a walk through a trellis: a state holds the last indices, and each has a random value."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from lth_runner.core import checks
from lth_runner.core.streams import Streams
from lth_runner.networks.scalar_code import check_whole, matrix_shape

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TrellisCode:
    """w_t = scale * value(state_t), where state_t holds the last `register` bits of the indices up to t.

    A walk goes down a column, row by row: each weight has 2^bits choices and depends on register / bits indices. The
    values of the 2^register states are the quantiles of N(0, 1) in a random order that is the same for all networks.
    Parts are `indices` (R, C), `scales` (R, 1) float16, one for each row, and `starts` (walks, C) uint16, the states
    before the first rows.

    Reference: QTIP, arXiv:2406.11235. Differs from the paper: walks say in which state they begin, where tiles bite
    their tails; values are looked up.

    Attributes:
        bits: of a weight.
        register: bits of a state.
        walk: rows after which a new walk begins.
    """

    kind: ClassVar[str] = "trellis_code"
    bits: int
    register: int
    walk: int

    def __post_init__(self) -> None:
        checks.integer("bits", self.bits, at_least=1, at_most=8)
        checks.integer("register", self.register, at_least=self.bits, at_most=16)
        checks.integer("walk", self.walk, at_least=1)

    def parts(self, shape: Shape) -> dict[str, tuple[Shape, type[np.generic]]]:
        """Shape and type of every part."""
        rows, columns = matrix_shape(shape)
        found: dict[str, tuple[Shape, type[np.generic]]] = {"indices": ((rows, columns), np.uint8)}
        return found | {"scales": ((rows, 1), np.float16), "starts": ((-(-rows // self.walk), columns), np.uint16)}

    def width(self, part: str, shape: Shape) -> int:
        """Bits that each entry of a part takes."""
        del shape
        return {"indices": self.bits, "scales": 16, "starts": self.register}[part]

    def decoded(self, parts: Mapping[str, np.ndarray], shape: Shape) -> np.ndarray:
        """The weights, float64.

        Raises:
            DataError: an index or a state that there is not.
        """
        values, found = self.values(), np.empty(matrix_shape(shape))
        check_whole("indices", parts["indices"], 0, 2**self.bits - 1)
        check_whole("starts", parts["starts"], 0, values.size - 1)
        starts = parts["starts"].astype(np.int64)
        state = starts[0]
        for row, indices in enumerate(parts["indices"]):
            before = state if row % self.walk else starts[row // self.walk]
            state = (before << self.bits | indices) % values.size
            found[row] = values[state]
        return (found * parts["scales"].astype(np.float64)).reshape(shape)

    def values(self) -> np.ndarray:
        """(2^register,) float64, by state."""
        return trellis_values(self.register)


@functools.cache
def trellis_values(register: int) -> np.ndarray:
    """See `TrellisCode.values`."""
    count = 2**register
    order = np.argsort(Streams(0).uniform(("trellis",), 0, count), kind="stable")
    found = ndtri((order + 0.5) / count)
    found.flags.writeable = False
    return found
