"""What a weight divided by its scale is rounded to: a few levels, in increasing order, known without being stored."""

import functools
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from scipy.optimize import root
from scipy.special import ndtr, ndtri

from lth_runner.core import checks


@runtime_checkable
class Levels(Protocol):
    """Levels of a scalar code. Implementations are frozen keyword-only dataclasses with a `kind`."""

    has_zero_point: ClassVar[bool]  # whether each group says by a whole number which of the levels is 0

    @property
    def bits(self) -> int:
        """Of an index."""
        ...

    def values(self) -> np.ndarray:
        """(L,) float64, increasing, L <= 2^bits."""
        ...


@dataclass(frozen=True, kw_only=True)
class WholeLevels:
    """0, 1, ..., 2^bits - 1 less the group's zero point: the uniform asymmetric grid."""

    kind: ClassVar[str] = "whole_levels"
    has_zero_point: ClassVar[bool] = True
    bits: int

    def __post_init__(self) -> None:
        checks.integer("levels.bits", self.bits, at_least=1, at_most=8)

    def values(self) -> np.ndarray:
        return np.arange(2.0**self.bits)


@dataclass(frozen=True, kw_only=True)
class EvenLevels:
    """Multiples of `step`, 2^bits of them, 0 among them: with many of them, indices are worth entropy-coding.

    An entropy-coded uniform quantiser is 0.255 bit from Shannon's bound at a high rate, and nearer at a low one.
    """

    kind: ClassVar[str] = "even_levels"
    has_zero_point: ClassVar[bool] = False
    bits: int
    step: float

    def __post_init__(self) -> None:
        checks.integer("levels.bits", self.bits, at_least=1, at_most=8)
        checks.positive("levels.step", self.step)

    def values(self) -> np.ndarray:
        return self.step * (np.arange(2**self.bits) - 2 ** (self.bits - 1))


@dataclass(frozen=True, kw_only=True)
class NormalFloat:
    """NF: quantiles of N(0, 1) on both sides of an exact 0, one more on the right, scaled to [-1, 1].

    The outermost probability is p = 1 - (1 / L + 1 / (L - 1)) / 4 for L = 2^bits levels, as in the reference's code at
    4 bits; L / 2 equal steps of probability from p to 1/2 give the positive levels, one step fewer the negative ones.

    Reference: QLoRA, arXiv:2305.14314, section 3, and its code, whose table of 4 bits this gives up to float32.
    """

    kind: ClassVar[str] = "normal_float"
    has_zero_point: ClassVar[bool] = False
    bits: int

    def __post_init__(self) -> None:
        checks.integer("levels.bits", self.bits, at_least=2, at_most=8)

    def values(self) -> np.ndarray:
        half = 2 ** (self.bits - 1)
        outer = 1 - (1 / (4 * half) + 1 / (4 * half - 2)) / 2
        positive = ndtri(np.linspace(outer, 0.5, half + 1))  # down to 0
        negative = -ndtri(np.linspace(outer, 0.5, half))[:-1]
        return np.concatenate((negative, positive[::-1])) / positive[0]


@dataclass(frozen=True, kw_only=True)
class LloydMax:
    """The levels of least mean squared error for N(0, 1): each is the mean of what is rounded to it.

    Reference: Max, IRE Trans. Inf. Theory 6 (1960); solved here, not copied.
    """

    kind: ClassVar[str] = "lloyd_max"
    has_zero_point: ClassVar[bool] = False
    bits: int

    def __post_init__(self) -> None:
        checks.integer("levels.bits", self.bits, at_least=1, at_most=8)

    def values(self) -> np.ndarray:
        return _lloyd_max(self.bits).copy()


@functools.cache
def _lloyd_max(bits: int) -> np.ndarray:
    """By Newton's method on the positive half, from the point density of high rates, that of N(0, 3)."""
    half = 2 ** (bits - 1)
    start = np.sqrt(3.0) * ndtri(0.5 + (np.arange(half) + 0.5) / (2 * half))
    found = root(lambda levels: levels - cell_means(levels), start, tol=1e-14)
    positive = found.x if found.success or np.abs(found.fun).max() < 1e-9 else _refused(found.message)
    return np.concatenate((-positive[::-1], positive))


def cell_means(positive: np.ndarray) -> np.ndarray:
    """Means of N(0, 1) over the cells of nearest values to positive levels, those of the mirrored levels beside."""
    edges = np.concatenate(([0.0], (positive[1:] + positive[:-1]) / 2, [np.inf]))
    density = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    return (density[:-1] - density[1:]) / (ndtr(-edges[:-1]) - ndtr(-edges[1:]))


def _refused(message: str) -> np.ndarray:
    raise AssertionError(f"Newton's method finds the optimal levels from this start: {message}")


def nearest(levels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Index of the nearest level, uint8; half way between two, the upper one, up to rounding."""
    step = levels[-1] - levels[-2]
    if levels.size > 2 and np.array_equal(
        levels, levels[0] + step * np.arange(levels.size)
    ):  # quicker, where it can be
        return np.clip(np.floor((numbers - levels[0]) / step + 0.5), 0, levels.size - 1).astype(np.uint8)
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, numbers, side="right").astype(np.uint8)
