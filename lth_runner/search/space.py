"""The random network that a search prunes, and what is settled about it beforehand."""

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
import torch

from lth_runner.networks.interface import Architecture, filled
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The random network that is searched, and what is settled about it beforehand.

    Attributes:
        network: the architecture.
        weights: recipes of its random weights.
        settled: masks that are given, by names in `weights`: these weights get no scores.
        frozen: weights that are neither random nor pruned, by name.
        gains: by names in `weights`: what a weight is multiplied with while the scores are trained, so that signals
            keep their size in a network drawn from any law. The ticket is of the weights as drawn: without biases its
            network is that of the search up to one positive factor, so their decisions are equal.
    """

    network: Architecture
    weights: dict[str, RandomTensor]
    settled: dict[str, Mask] = field(default_factory=dict)
    frozen: dict[str, np.ndarray] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)

    def module(self, seed: int) -> torch.nn.Module:
        """The random network as it is redrawn from a ticket, settled masks applied, times the gains."""
        arrays = dict(self.frozen)
        for name, tensor in self.weights.items():
            array = tensor.draw(seed) * self.gains.get(name, 1.0)
            arrays[name] = array * self.settled[name].dense() if name in self.settled else array
        return filled(self.network, arrays)

    def key(self) -> str:
        """All of it as text."""
        parts = {
            "settled": {name: hashlib.sha256(mask.bits.tobytes()).hexdigest() for name, mask in self.settled.items()},
            "frozen": {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in self.frozen.items()},
            "gains": self.gains,
        }
        return f"{self.network!r} {self.weights!r} {json.dumps(parts, sort_keys=True)}"
