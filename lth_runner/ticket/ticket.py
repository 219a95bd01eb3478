"""A ticket: the recipe of a random network and the mask that makes it good. The random weights are never stored."""

from dataclasses import dataclass, field

import numpy as np

from lth_runner.networks.interface import Architecture
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor


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

    network: Architecture
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
