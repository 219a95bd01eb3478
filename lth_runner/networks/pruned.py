"""From a ticket to its pruned network."""

import numpy as np
import torch

from lth_runner.core.errors import DataError
from lth_runner.core.ticket import Ticket
from lth_runner.networks.interface import filled

CHUNK = 1 << 22  # random numbers held at a time while a ticket is rebuilt


def effective_weights(ticket: Ticket) -> dict[str, np.ndarray]:
    """The pruned network's weights, float64: random numbers drawn again, masked, and summed where several make one.

    A layer whose random tensor has one axis more than its weight offers several numbers per weight; the kept ones are
    added. Memory beyond the masks and the result is bounded by `CHUNK` numbers.
    """
    return {name: _layer(ticket, name, shape) for name, shape in ticket.network.shapes().items()}


def pruned_network(ticket: Ticket, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The pruned network itself, rebuilt from the ticket alone."""
    return filled(ticket.network, effective_weights(ticket), dtype)


def _layer(ticket: Ticket, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in ticket.tensors or name not in ticket.masks:
        raise DataError(f"the ticket has no layer {name}: it does not belong to this network")
    tensor, mask = ticket.tensors[name], ticket.masks[name]
    summed = len(mask.shape) == len(shape) + 1
    if (
        mask.shape[: len(shape)] != shape
        or len(mask.shape) - len(shape) not in (0, 1)
        or len(tensor.shape) != len(mask.shape)
    ):
        raise DataError(f"the ticket's mask of {name} has shape {mask.shape}, the network's layer {shape}")
    weight = np.empty(shape)
    per_row = int(np.prod(tensor.shape[1:]))
    rows = max(1, CHUNK * shape[0] // max(1, mask.size))
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        drawn = tensor.draw(ticket.seed, start * per_row, (stop - start) * per_row)
        kept = np.where(mask.rows(start, stop), drawn.reshape(stop - start, *tensor.shape[1:]), 0.0)
        weight[start:stop] = kept.sum(axis=-1) if summed else kept
    return weight
