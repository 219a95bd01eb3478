"""From a masked network to one that is really smaller: the entries of pruned units are cut out of its tensors."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lth_runner.networks.attention import SelfAttention, unpack_
from lth_runner.prune.units import Units
from lth_runner.ticket.mask import Mask

NORMS: Any = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)


def kept_units(groups: Mapping[str, Units], masks: Mapping[str, Mask]) -> dict[str, np.ndarray]:
    """Which units the masks of a ticket keep, bool (U,) by group: those with a kept entry in any of their places."""
    found = {}
    for name, group in groups.items():
        kept = np.zeros(group.count, dtype=bool)
        for place in group.places:
            mask = masks[place.tensor].dense()
            others = tuple(axis for axis in range(mask.ndim) if axis != place.axis)
            along = mask if place.axis is None else mask.any(axis=others)
            kept |= along.reshape(place.times, group.count, place.each).any(axis=(0, 2))
        found[name] = kept
    return found


def compacted(module: torch.nn.Module, groups: Mapping[str, Units], kept: Mapping[str, np.ndarray]) -> torch.nn.Module:
    """A smaller module that computes what this one does without its pruned units, up to the rounding of sums.

    Groups that are not removable stay as they are, and of one without a kept unit the first stays, since layers need a
    width; so the module should be one with pruned weights at 0.

    Args:
        module: stays as it is.
        kept: bool (U,) by group.
    """
    smaller, renamed = unpack_(copy.deepcopy(module))
    names = {old: new for new, old in renamed.items()}
    for name, group in groups.items():
        if not group.removable:
            continue
        units = kept[name] if kept[name].any() else np.arange(group.count) == 0
        for place in group.places:
            assert place.axis is not None, "single weights are not removable"
            _cut_(smaller, names.get(place.tensor, place.tensor), place.axis, place.along(units))
        part: Any = smaller.get_submodule(name)
        if isinstance(part, SelfAttention):
            part.heads = int(units.sum())
    return smaller


def _cut_(module: torch.nn.Module, tensor: str, axis: int, kept: np.ndarray) -> None:
    """Leaves the kept entries of a parameter along an axis, and tells its layer its new size."""
    path, _, name = tensor.rpartition(".")
    layer: Any = module.get_submodule(path)
    index = torch.from_numpy(np.flatnonzero(kept)).to(getattr(layer, name).device)
    _replace_(layer, name, axis, index)
    if isinstance(layer, NORMS) and name == "weight":
        layer.num_features = len(index)
        for buffer in ("running_mean", "running_var"):
            setattr(layer, buffer, getattr(layer, buffer).index_select(0, index))
    sizes = {torch.nn.Linear: ("out_features", "in_features"), torch.nn.Conv2d: ("out_channels", "in_channels")}
    if name == "weight" and type(layer) in sizes:
        setattr(layer, sizes[type(layer)][axis], len(index))


def _replace_(layer: torch.nn.Module, name: str, axis: int, index: torch.Tensor) -> None:
    parameter: Any = getattr(layer, name)
    smaller = parameter.detach().index_select(axis, index)
    setattr(layer, name, torch.nn.Parameter(smaller, requires_grad=parameter.requires_grad))
