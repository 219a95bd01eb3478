"""Blocks of weights as a few coefficients on vectors that a shift register makes from a seed."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.networks.scalar_code import check_whole

Shape = tuple[int, ...]
Parts = Mapping[str, np.ndarray]

# Taps of registers of full period, by their length: a published table (Xilinx XAPP 052); the tests count the periods.
TAPS = {
    3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5), 10: (10, 7), 11: (11, 9),
    12: (12, 6, 4, 1), 13: (13, 4, 3, 1), 14: (14, 5, 3, 1), 15: (15, 14), 16: (16, 15, 13, 4),
}  # fmt: skip
MANTISSA_BITS, EXPONENT_BITS = 4, 4
LOWEST = -12  # exponent of code 0, relative to the tensor's scale


@dataclass(frozen=True, kw_only=True)
class LfsrCode:
    """A block of C weights = scale 2^exponent U(seed) t, with P whole coefficients t from -8 to 7.

    U(seed) is (C, P), filled row by row with the `block * basis` states that follow the seed in a shift register of
    `register` bits, taken to [-1, 1]. The flattened tensor is cut into blocks as it stands, the last one filled up with
    zeros: it counts whole. Parts are `seeds` (N,), `coefficients` (N, P), `exponents` (N,) and `scale` (1,), float16.

    Reference: SeedLM, arXiv:2410.10714. Differs from the paper: exponents are relative to a scale of the tensor.

    Attributes:
        register: bits of the shift register, and of a seed.
        block: C.
        basis: P.
    """

    kind: ClassVar[str] = "lfsr_code"
    register: int
    block: int
    basis: int

    def __post_init__(self) -> None:
        checks.integer("register", self.register, at_least=min(TAPS), at_most=max(TAPS))
        checks.integer("block", self.block, at_least=1)
        checks.integer("basis", self.basis, at_least=1, at_most=self.block)

    def parts(self, shape: Shape) -> dict[str, tuple[Shape, type[np.generic]]]:
        """Shape and type of every part."""
        count = -(-math.prod(shape) // self.block)
        return {
            "seeds": ((count,), np.uint16),
            "coefficients": ((count, self.basis), np.int8),
            "exponents": ((count,), np.uint8),
            "scale": ((1,), np.float16),
        }

    def width(self, part: str, shape: Shape) -> int:
        """Bits that each entry of a part takes."""
        del shape
        widths = {"seeds": self.register, "coefficients": MANTISSA_BITS, "exponents": EXPONENT_BITS}
        return widths.get(part, 16)

    def decoded(self, parts: Parts, shape: Shape) -> np.ndarray:
        """The weights, float64.

        Raises:
            DataError: a seed or an exponent that no register has.
        """
        check_whole("seeds", parts["seeds"], 1, 2**self.register - 1)
        check_whole("exponents", parts["exponents"], 0, 2**EXPONENT_BITS - 1)
        vectors = self.vectors()[parts["seeds"].astype(np.int64) - 1]  # (N, C, P)
        sizes = float(parts["scale"][0]) * np.exp2(LOWEST + parts["exponents"].astype(np.float64))
        blocks = np.einsum("ncp,np,n->nc", vectors, parts["coefficients"].astype(np.float64), sizes)
        return blocks.reshape(-1)[: math.prod(shape)].reshape(shape)

    def vectors(self) -> np.ndarray:
        """(2^register - 1, C, P) float64: U of the seeds 1, 2, ... in turn; a view of few numbers where it can be."""
        return lfsr_vectors(self.register, self.block, self.basis)


@functools.cache
def lfsr_vectors(register: int, block: int, basis: int) -> np.ndarray:
    """See `LfsrCode.vectors`."""
    sequence = lfsr_states(register)
    place = np.empty(sequence.size + 1, np.int64)  # of a state in the sequence
    place[sequence] = np.arange(sequence.size)
    middle = 2 ** (register - 1)
    numbers = (sequence - middle) / (middle - 1)
    steps = 1 + np.arange(block * basis)
    found = numbers[(place[1:, None] + steps) % sequence.size].reshape(-1, block, basis)
    found.flags.writeable = False
    return found


@functools.cache
def lfsr_states(register: int) -> np.ndarray:
    """(2^register - 1,) the states of a Fibonacci register that starts at 1, each 1 to 2^register - 1 once."""
    found = np.empty(2**register - 1, np.int64)
    state = 1
    for k in range(found.size):
        found[k] = state
        bit = functools.reduce(lambda a, b: a ^ b, (state >> (register - tap) for tap in TAPS[register])) & 1
        state = state >> 1 | bit << (register - 1)
    found.flags.writeable = False
    return found
