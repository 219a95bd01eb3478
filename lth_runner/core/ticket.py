"""A ticket: the recipe of a random network and the mask that makes it good. The random weights are never stored."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.core.mask import Mask
from lth_runner.core.streams import Streams

if TYPE_CHECKING:  # core knows it only by name
    from lth_runner.networks.interface import Network


@dataclass(frozen=True, kw_only=True)
class RandomTensor:
    """How one tensor of the random network is drawn: entry i (C order) is distribution.quantile(u_i).

    Attributes:
        shape: of the tensor.
        distribution: frozen dataclass with `quantile`, already fitted.
        path: of the stream whose i-th uniform number is u_i.
    """

    shape: tuple[int, ...]
    distribution: Any
    path: tuple[str, ...]

    def draw(self, seed: int, start: int = 0, count: int | None = None) -> np.ndarray:
        """Entries `start` to `start + count` in C order, float64; the whole tensor in its shape by default."""
        if count is None:
            return self.draw(seed, 0, int(np.prod(self.shape))).reshape(self.shape)
        return self.distribution.quantile(Streams(seed).uniform(self.path, start, count))


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A pruned random network.

    Attributes:
        network: the architecture that the masked weights fill.
        seed: of the streams that draw the random tensors.
        tensors: recipe of each random tensor.
        masks: by the same names; of the tensor's shape, or one that it broadcasts to (shared coefficients).
        facts: plain numbers worth keeping with the ticket (epsilon, solve time).
        frozen: weights of the network that are neither random nor pruned, float32: a search left them as a training
            had made them. They count nowhere below.
    """

    network: "Network"
    seed: int
    tensors: dict[str, RandomTensor]
    masks: dict[str, Mask]
    facts: dict[str, float] = field(default_factory=dict)
    frozen: dict[str, np.ndarray] = field(default_factory=dict)

    def drawn(self) -> int:
        """Random numbers really drawn, before pruning."""
        return sum(int(np.prod(tensor.shape)) for tensor in self.tensors.values())

    def offered(self) -> int:
        """Prunable weights before pruning: shared random numbers count once for each place they can be used."""
        return sum(mask.size for mask in self.masks.values())

    def kept(self) -> int:
        """Weights the masks keep."""
        return sum(mask.kept() for mask in self.masks.values())
