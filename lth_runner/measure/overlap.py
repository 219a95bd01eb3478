"""What two masks of one random network share, and how many of the kept weights do anything at all."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Of a mask with one that is given, on the same weights.

    Attributes:
        kept: weights that the given mask keeps.
        shared: those of them that the other one keeps too.
        chance: how many those would be on average if the other mask were a random one with its number of weights.
    """

    kept: int
    shared: int
    chance: float


def overlap(given: np.ndarray, other: np.ndarray, open_to_other: np.ndarray | None = None) -> Overlap:
    """The overlap of two bool arrays of one shape.

    With kA and kB weights kept of N, chance = kA kB / N.

    Args:
        open_to_other: a bool array of that shape, where the other mask could be of use: chance is then that of a random
            mask that keeps as many of these, and what it keeps elsewhere is lost; None: everywhere.
    """
    allowed = np.ones(given.shape, bool) if open_to_other is None else open_to_other
    places = int(allowed.sum())
    kept, among = int((other & allowed).sum()), int((given & allowed).sum())
    return Overlap(
        kept=int(given.sum()), shared=int((given & other).sum()), chance=among * kept / places if places else 0.0
    )


def summed(parts: Iterable[Overlap]) -> Overlap:
    """That of several tensors as one."""
    parts = list(parts)
    return Overlap(
        kept=sum(part.kept for part in parts),
        shared=sum(part.shared for part in parts),
        chance=sum(part.chance for part in parts),
    )


def on_path(split: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which second weights of a layer, of that shape, leave a hidden neuron that the first mask gives an input."""
    neurons = split.reshape(len(split), -1).any(axis=1)
    return np.broadcast_to(neurons.reshape(1, -1, *[1] * (len(shape) - 2)), shape)


def num_on_path(ticket: Ticket, expansion: TwoLayerExpansion) -> int:
    """Kept weights of a ticket that lie on a path through their own pair of layers: the others do nothing."""
    count = 0
    for layer in expansion.layers:
        split, total = (ticket.masks[f"{layer.name}.{which}.weight"].dense() for which in ("split", "sum"))
        leaves = np.moveaxis(total, 1, 0).reshape(total.shape[1], -1).any(axis=1)  # (hidden neurons,)
        count += int(split[leaves].sum()) + int((total & on_path(split, total.shape)).sum())
    return count
