"""Where the numbers of a tensor come from: drawn from the seed and never stored, or stored and counted."""

import math
from dataclasses import dataclass

import numpy as np

from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution, JointDistribution

CODE = "code"  # origin of stored numbers that stand for weights of the target, as indices and scales do
FITTED = "fitted"  # of those that are fitted to them beside random numbers, as scales and escapes of blocks


@dataclass(frozen=True, kw_only=True, eq=False)
class Scales:
    """Factors that fit parts of a random tensor to the weights they stand for; they are stored, in half precision.

    The tensor offers several numbers for each of its places, along its last axis. The places, in C order, are cut into
    equally many for each row, and those of a row into groups, equally wide but for the last.

    Attributes:
        array: (rows, groups) float16, 0 or more.
    """

    array: np.ndarray

    def __post_init__(self) -> None:
        array = self.array
        if array.dtype != np.float16 or array.ndim != 2 or not array.size:
            raise ValueError(f"scales are rows and groups of float16, not {array.shape} of {array.dtype}")
        if not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError("scales must be finite and not negative")

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses a tensor that cannot be cut so.

        Raises:
            ValueError: it cannot.
        """
        rows, groups = self.array.shape
        places = math.prod(shape[:-1])
        if not shape or not places or places % rows or groups > places // rows:
            raise ValueError(f"{rows} rows of {groups} groups do not fit a random tensor of shape {shape}")

    def entries(self, shape: tuple[int, ...], start: int, count: int) -> np.ndarray:
        """(count,) float64: those of the entries `start` to `start + count` of a tensor of this shape, in C order."""
        rows, groups = self.array.shape
        per_row, n = math.prod(shape[:-1]) // rows, shape[-1]
        first, last = start // n, -(-(start + count) // n)
        place = np.arange(first, last)
        factors = self.array[place // per_row, place % per_row // -(-per_row // groups)].astype(np.float64)
        return np.repeat(factors, n)[start - first * n :][:count]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A random tensor: entry i (C order) is scale * distribution.quantile(u_i); of a joint law, all follow from all u.

    Attributes:
        shape: of the tensor.
        distribution: already fitted.
        stream: path of the stream whose i-th uniform number is u_i.
        scale: a factor on top, for signals that must keep their size.
        centred: whether half of every entry is subtracted, kept or pruned: entry a counts a / 2 where the mask keeps
            it and -a / 2 where not. What is subtracted in all is known from the seed.
        mirrored: whether every number stands there twice, entry 2 i as it is and entry 2 i + 1 negated; one of them is
            kept, or none.
        scales: further factors, of parts of the tensor; None: none.
        by_place: whether a mask over it keeps few patterns of the numbers at a place, along the last axis, as where one
            of them is chosen: its bits are counted and coded place by place.
    """

    shape: tuple[int, ...]
    distribution: Distribution
    stream: tuple[str, ...]
    scale: float = 1.0
    centred: bool = False
    mirrored: bool = False
    scales: Scales | None = None
    by_place: bool = False

    def __post_init__(self) -> None:
        if self.mirrored and (not self.shape or self.shape[-1] % 2):
            raise ValueError(f"a random tensor of shape {self.shape} cannot hold every number twice")
        if self.scales is not None:
            self.scales.check(self.shape)

    @property
    def drawn_shape(self) -> tuple[int, ...]:
        """Of the numbers that are really drawn."""
        return (*self.shape[:-1], self.shape[-1] // 2) if self.mirrored else self.shape

    def draw(self, seed: int, start: int = 0, count: int | None = None) -> np.ndarray:
        """Entries `start` to `start + count` in C order, float64; the whole tensor in its shape by default."""
        if count is None:
            return self.draw(seed, 0, int(np.prod(self.shape))).reshape(self.shape)
        if self.mirrored:
            first = start // 2
            numbers = self._numbers(seed, first, -(-(start + count) // 2) - first)
            numbers = np.stack((numbers, -numbers), axis=1).reshape(-1)[start - 2 * first :][:count]
        else:
            numbers = self._numbers(seed, start, count)
        if self.scales is not None:
            numbers = self.scales.entries(self.shape, start, count) * numbers
        return numbers if self.scale == 1 else self.scale * numbers

    def masked(self, drawn: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """What entries of it count, of which the mask keeps some."""
        if self.centred:
            return drawn * (kept - 0.5)
        found = drawn * kept  # np.where guesses at every entry which way it goes, and takes four times as long
        found += 0.0  # -0 becomes 0
        return found

    def _numbers(self, seed: int, start: int, count: int) -> np.ndarray:
        """As the distribution has them."""
        if isinstance(self.distribution, JointDistribution):
            shape = self.drawn_shape
            uniform = Streams(seed).uniform(self.stream, 0, int(np.prod(shape))).reshape(shape)
            return self.distribution.tensor(uniform).reshape(-1)[start : start + count]
        return self.distribution.quantile(Streams(seed).uniform(self.stream, start, count))


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """A tensor that is written into the ticket as it is.

    Attributes:
        array: the numbers, in their own type.
        origin: where they were taken from: "target", "trained", "rewound@500it"; `CODE` or `FITTED`, where they
            stand for the target's.
    """

    array: np.ndarray
    origin: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


Source = Drawn | Stored
