"""What every layer of a ticket keeps, and keeps to some use: a mask can empty a layer, or cut it off from both ends."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.data.interface import Dataset
from lth_runner.measure.on_path import on_path
from lth_runner.networks.interface import parameter_shapes, skeleton
from lth_runner.networks.redundant import RedundantLinear
from lth_runner.ticket.materialise import Materialised, target_architecture
from lth_runner.ticket.ticket import Ticket

BLOCK = 1 << 24  # entries of a mask looked at together


@dataclass(frozen=True, kw_only=True)
class LayerUse:
    """The weights of one tensor with two axes or more.

    Attributes:
        name: of the tensor, without ".weight".
        kept: weights that its mask keeps; all without a mask.
        on_path: those of them on a path from an input to an output; None where this is not known.
    """

    name: str
    kept: int
    on_path: int | None


def layer_uses(network: Materialised, data: Dataset | None) -> list[LayerUse]:
    """How many weights every layer of a plain sequence keeps, and how many of them lie on a path.

    Of another network only the tensors that are masked, without paths.

    Args:
        data: whose inputs tell the size of images; without it paths through convolutions are not known.
    """
    ticket = network.ticket
    shapes = {name: shape for name, shape in parameter_shapes(ticket.architecture).items() if len(shape) > 1}
    inputs = _input_shape(ticket, data)
    used = None if inputs is None else on_path(network.module(), inputs)
    if used is None:
        return [
            LayerUse(name=_layer(name), kept=ticket.kept_of(name), on_path=None)
            for name in shapes
            if name in ticket.masks
        ]
    return [
        LayerUse(
            name=_layer(name), kept=ticket.kept_of(name), on_path=_num_on_path(ticket, name, used[name], len(shape))
        )
        for name, shape in shapes.items()
        if name in used
    ]


def numbers(uses: Sequence[LayerUse]) -> dict[str, int | str | None]:
    """For a summary: kept_LAYER and on_path_LAYER, and those of `cut_off`."""
    found: dict[str, int | str | None] = {}
    for use in uses:
        found |= {f"kept_{use.name}": use.kept, f"on_path_{use.name}": use.on_path}
    return found | cut_off(uses)


def cut_off(uses: Sequence[LayerUse]) -> dict[str, int | str | None]:
    """Names of empty_layers and of disconnected_layers, and their number; nothing where there are none."""
    empty, cut = _empty(uses), _disconnected(uses)
    if not empty and not cut:
        return {}
    names = {"empty_layers": ", ".join(empty) or None, "disconnected_layers": ", ".join(cut) or None}
    return {"layers_without_path": len(empty + cut), **names}


def warning(name: str, uses: Sequence[LayerUse]) -> str | None:
    """Which layers of the named ticket are empty or disconnected, in one sentence; None where none is."""
    found = cut_off(uses)
    parts = []
    if found.get("empty_layers"):
        parts.append(f"the mask keeps no weight of {found['empty_layers']}")
    if found.get("disconnected_layers"):
        parts.append(f"no kept weight of {found['disconnected_layers']} lies on a path from an input to an output")
    return f"warning: {name}: {', and '.join(parts)}" if parts else None


def told_layer_uses(
    name: str, network: Materialised, data: Dataset | None, say: Callable[[str], object]
) -> list[LayerUse]:
    """`layer_uses`, after a warning where layers of the named ticket are empty or disconnected."""
    uses = layer_uses(network, data)
    if said := warning(name, uses):
        say(said)
    return uses


def _input_shape(ticket: Ticket, data: Dataset | None) -> Sequence[int] | None:
    """Of the data's inputs; without data, those of a network that starts with a linear layer."""
    if data is not None:
        return tuple(data.test_inputs.shape[1:]) if isinstance(data.test_inputs, torch.Tensor) else None
    parts = skeleton(target_architecture(ticket)).modules()
    first = next((part for part in parts if any(True for _ in part.parameters(recurse=False))), torch.nn.Identity())
    if isinstance(first, RedundantLinear):
        return (first.inputs,)
    return (first.in_features,) if isinstance(first, torch.nn.Linear) else None


def _num_on_path(ticket: Ticket, name: str, used: np.ndarray, axes: int) -> int:
    """Kept weights on a path: of a tensor that offers several numbers for each place, those kept there count."""
    places = ticket.places(name)
    if name not in ticket.masks or len(places) == axes:
        return int(np.count_nonzero(used))
    return sum(int(np.count_nonzero(kept & used[rows, ..., None])) for rows, kept in _blocks(ticket, name))


def _blocks(ticket: Ticket, name: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of a mask, as bool arrays; all at once where the mask is the same for all rows."""
    mask, places = ticket.masks[name], ticket.places(name)
    if mask.shape[0] != places[0]:
        yield slice(None), mask.dense()
        return
    step = max(1, BLOCK * places[0] // mask.size)
    for start in range(0, places[0], step):
        stop = min(start + step, places[0])
        yield slice(start, stop), mask.rows(start, stop)


def _layer(name: str) -> str:
    return name.removesuffix(".weight")


def _empty(uses: Sequence[LayerUse]) -> list[str]:
    return [use.name for use in uses if not use.kept]


def _disconnected(uses: Sequence[LayerUse]) -> list[str]:
    return [use.name for use in uses if use.kept and use.on_path == 0]
