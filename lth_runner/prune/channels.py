"""Channels that a batch norm scales: which layer makes them, and which one takes them."""

from typing import Any

import torch

from lth_runner.networks.folding import batch_norms
from lth_runner.networks.graph import trace
from lth_runner.networks.interface import Architecture, skeleton
from lth_runner.prune.units import Place, Units

# What leaves a channel that is 0 everywhere at 0, and mixes no channels.
BETWEEN: Any = (
    torch.nn.ReLU, torch.nn.ReLU6, torch.nn.LeakyReLU, torch.nn.GELU, torch.nn.SiLU, torch.nn.ELU, torch.nn.Tanh,
    torch.nn.MaxPool2d, torch.nn.AvgPool2d, torch.nn.AdaptiveAvgPool2d, torch.nn.AdaptiveMaxPool2d, torch.nn.Flatten,
    torch.nn.Dropout, torch.nn.Dropout2d, torch.nn.Identity,
)  # fmt: skip


def channels(architecture: Architecture) -> dict[str, Units]:
    """The channels of every batch norm that scales what one linear or convolutional layer makes, by the norm's path.

    Without a channel's weight and bias in the norm, its output is 0. Where the next layer is known to take the norm's
    output alone, its weights on the channel belong to it too, and the channel can be cut out.
    """
    module = skeleton(architecture)
    pairs = [
        (layer, norm) for layer, norm in batch_norms(architecture) if module.get_submodule(norm).weight is not None
    ]
    found = trace(module, False) if pairs else None
    after = {source: path for path, source in found.follows.items()} if found else {}
    tensors = {name for name, _ in module.named_parameters()}
    groups = {}
    for layer, norm in pairs:
        own = [f"{layer}.weight", f"{layer}.bias", f"{norm}.weight", f"{norm}.bias"]
        places = [Place(tensor=name, axis=0) for name in own if name in tensors]
        count = len(module.get_parameter(f"{norm}.weight"))
        flat = isinstance(module.get_submodule(layer), torch.nn.Linear)
        taker = _taker(module, norm, after, flat)
        if taker is not None:
            each = module.get_parameter(f"{taker}.weight").shape[1] // count
            places.append(Place(tensor=f"{taker}.weight", axis=1, each=each))
        alone = getattr(module.get_submodule(layer), "groups", 1) == 1
        groups[norm] = Units(count=count, places=tuple(places), removable=taker is not None and alone)
    return groups


def _taker(module: torch.nn.Module, path: str, after: dict[str, str], flat: bool) -> str | None:
    """The linear layer, or convolution in one group, that takes what the layer at this path gives, and nothing else.

    Args:
        flat: whether the channels are the last axis of two, as a linear layer needs them.
    """
    while path in after:
        path = after[path]
        part = module.get_submodule(path)
        if isinstance(part, torch.nn.Linear):
            return path if flat else None
        if isinstance(part, torch.nn.Conv2d):
            return path if part.groups == 1 and not flat else None
        if not isinstance(part, BETWEEN):
            return None
        flat = flat or (isinstance(part, torch.nn.Flatten) and (part.start_dim, part.end_dim) == (1, -1))
    return None
