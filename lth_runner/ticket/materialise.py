"""From a ticket to its pruned network."""

from collections.abc import Mapping

import numpy as np
import torch

from lth_runner.core.errors import DataError
from lth_runner.networks.interface import Expansion, filled, parameter_shapes
from lth_runner.ticket.masked_tensor import MaskedTensor
from lth_runner.ticket.ticket import Ticket


def effective_weights(ticket: Ticket) -> dict[str, np.ndarray]:
    """What stands for each weight in the pruned network, float64, drawn again from the ticket alone.

    A layer whose random tensor has one axis more than its weight offers several numbers per weight; the kept ones are
    added. A random network that stands for another one gives the target's weights, each in one or more readings:
    (readings, *shape); see `Expansion`. Memory beyond the masks and the result is bounded.

    Raises:
        DataError: the ticket does not belong to its network.
    """
    if isinstance(ticket.network, Expansion):
        return ticket.network.effective(_masked(ticket))
    return {
        name: _frozen(ticket, name, shape) if name in ticket.frozen else _layer(ticket, name, shape)
        for name, shape in parameter_shapes(ticket.network).items()
    }


def pruned_network(
    ticket: Ticket, dtype: torch.dtype = torch.float32, weights: Mapping[str, np.ndarray] | None = None
) -> torch.nn.Module:
    """The pruned network itself, rebuilt from the ticket alone; its weights are the masked random numbers.

    Args:
        weights: the ticket's effective weights, where they are at hand: what a plain network is filled with. A network
            that only stands for its target never uses them.
    """
    if isinstance(ticket.network, Expansion):
        return ticket.network.assembled(_masked(ticket), dtype)
    return filled(ticket.network, effective_weights(ticket) if weights is None else weights, dtype)


def _masked(ticket: Ticket) -> dict[str, MaskedTensor]:
    return {name: _tensor(ticket, name) for name in parameter_shapes(ticket.network)}


def _tensor(ticket: Ticket, name: str) -> MaskedTensor:
    if name not in ticket.tensors or name not in ticket.masks:
        raise DataError(f"the ticket has no layer {name}: it does not belong to this network")
    return MaskedTensor(tensor=ticket.tensors[name], mask=ticket.masks[name], seed=ticket.seed)


def _frozen(ticket: Ticket, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if ticket.frozen[name].shape != shape:
        raise DataError(
            f"the ticket's frozen {name} has shape {ticket.frozen[name].shape}, the network's layer {shape}"
        )
    return ticket.frozen[name].astype(np.float64)


def _layer(ticket: Ticket, name: str, shape: tuple[int, ...]) -> np.ndarray:
    masked = _tensor(ticket, name)
    extra = len(masked.shape) - len(shape)
    if masked.shape[: len(shape)] != shape or extra not in (0, 1) or len(masked.tensor.shape) != len(masked.shape):
        raise DataError(f"the ticket's mask of {name} has shape {masked.shape}, the network's layer {shape}")
    weight = np.empty(shape)
    for rows, block in masked.blocks():
        weight[rows] = block.sum(axis=-1) if extra else block
    return weight
