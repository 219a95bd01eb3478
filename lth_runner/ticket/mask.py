"""Masks as packed bits: an eighth of the memory of a bool array, any block of rows unpacked alone."""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Mask:
    """A bool array of `shape`, True = kept, eight entries to a byte in C order, the first in the highest bit.

    Attributes:
        bits: (ceil(size / 8),) uint8; the bits beyond the last entry are 0.
    """

    shape: tuple[int, ...]
    bits: np.ndarray

    def __post_init__(self) -> None:
        if self.bits.dtype != np.uint8 or self.bits.shape != (-(-self.size // 8),):
            raise ValueError(f"{self.bits.size} bytes of {self.bits.dtype} cannot hold a mask of shape {self.shape}")
        if self.size % 8 and self.bits[-1] & (0xFF >> self.size % 8):
            raise ValueError(f"a mask of shape {self.shape} has bits set beyond its last entry")

    @classmethod
    def pack(cls, dense: np.ndarray) -> Self:
        """The mask that equals a bool array."""
        return cls(dense.shape, np.packbits(dense.ravel()))

    @classmethod
    def random(cls, shape: tuple[int, ...], kept: int, generator: np.random.Generator) -> Self:
        """One that keeps `kept` entries, chosen uniformly."""
        dense = np.zeros(int(np.prod(shape)), dtype=bool)
        dense[generator.permutation(dense.size)[:kept]] = True
        return cls.pack(dense.reshape(shape))

    @property
    def size(self) -> int:
        """Entries, kept or not."""
        return int(np.prod(self.shape))

    def kept(self) -> int:
        """Entries that are True."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` of the first axis, as a bool array."""
        row = self.size // self.shape[0]
        first, last = start * row, stop * row
        entries = np.unpackbits(self.bits[first // 8 : -(-last // 8)]).view(bool)
        return entries[first % 8 : first % 8 + last - first].reshape(stop - start, *self.shape[1:])

    def dense(self) -> np.ndarray:
        """The whole bool array."""
        return np.unpackbits(self.bits, count=self.size).view(bool).reshape(self.shape)
