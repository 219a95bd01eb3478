"""Where the numbers of a tensor come from: drawn from the seed and never stored, or stored and counted."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution, JointDistribution

CODE = "code"  # origin of stored numbers that stand for weights of the target, as indices and scales do
FITTED = "fitted"  # of those that are fitted to them beside random numbers, as scales and escapes of blocks


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
    """

    shape: tuple[int, ...]
    distribution: Distribution
    stream: tuple[str, ...]
    scale: float = 1.0
    centred: bool = False

    def draw(self, seed: int, start: int = 0, count: int | None = None) -> np.ndarray:
        """Entries `start` to `start + count` in C order, float64; the whole tensor in its shape by default."""
        if count is None:
            return self.draw(seed, 0, int(np.prod(self.shape))).reshape(self.shape)
        if isinstance(self.distribution, JointDistribution):
            uniform = Streams(seed).uniform(self.stream, 0, int(np.prod(self.shape))).reshape(self.shape)
            numbers = self.distribution.tensor(uniform).reshape(-1)[start : start + count]
        else:
            numbers = self.distribution.quantile(Streams(seed).uniform(self.stream, start, count))
        return numbers if self.scale == 1 else self.scale * numbers

    def masked(self, drawn: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """What entries of it count, of which the mask keeps some."""
        return drawn * (kept - 0.5) if self.centred else np.where(kept, drawn, 0.0)


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
