"""Batch norms folded into the layers before them, so that a construction sees one layer where there were two."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from lth_runner.networks.attention import replaced_
from lth_runner.networks.graph import Trace, trace
from lth_runner.networks.interface import Architecture, skeleton

NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)


@dataclass(frozen=True, kw_only=True)
class BatchNormFolded:
    """The network that an evaluated network with batch norms is: y = g (W x + b - m) / s + c is one layer.

    W' = g W / s and b' = g (b - m) / s + c, with s = sqrt(running variance + eps), m the running mean, and g and c the
    norm's own weight and bias. Folded are norms that directly follow a linear or convolutional layer and take all that
    it gives, where both are called once, nothing else reads their tensors, and the norm's channels are known to be the
    layer's outputs: behind a linear layer that is so on two axes, (N, features). All others stay.

    Attributes:
        original: the architecture with its norms.
    """

    kind: ClassVar[str] = "batch_norm_folded"
    original: Architecture

    def module(self) -> torch.nn.Module:
        module = self.original.module()
        for layer, norm in batch_norms(self.original):
            module = replaced_(module, layer, _with_bias(module.get_submodule(layer)))
            module = replaced_(module, norm, torch.nn.Identity())
        return module

    def folded(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Parameters and buffers of this network that compute what those of the original do, float64."""
        found, module = dict(state), skeleton(self.original)
        for layer, norm in batch_norms(self.original):
            part: Any = module.get_submodule(norm)
            mean, variance = found.pop(f"{norm}.running_mean"), found.pop(f"{norm}.running_var")
            found.pop(f"{norm}.num_batches_tracked", None)
            factor = found.pop(f"{norm}.weight", 1.0) / np.sqrt(variance + part.eps)
            weight, bias = found[f"{layer}.weight"], found.get(f"{layer}.bias", 0.0)
            found[f"{layer}.weight"] = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
            found[f"{layer}.bias"] = factor * (bias - mean) + found.pop(f"{norm}.bias", 0.0)
        return found


def batch_norms(architecture: Architecture) -> list[tuple[str, str]]:
    """The paths of layers and of the batch norms that can be folded into them, in the order of the forward pass."""
    return list(_batch_norms(skeleton(architecture)))


def _batch_norms(module: torch.nn.Module) -> Iterator[tuple[str, str]]:
    norms = [path for path, part in module.named_modules() if isinstance(part, NORMS) and part.running_mean is not None]
    found = trace(module, False) if norms else None
    for norm, layer in (found.follows if found else {}).items():
        if (
            found
            and norm in norms
            and _same_axis(module.get_submodule(layer), module.get_submodule(norm), layer, found)
        ):
            yield layer, norm


def _same_axis(layer: Any, norm: Any, path: str, found: Trace) -> bool:
    """Whether the norm's channels are the layer's outputs."""
    if type(layer) is torch.nn.Linear:
        return type(norm) is torch.nn.BatchNorm1d and path in found.flat and norm.num_features == layer.out_features
    return type(layer) is torch.nn.Conv2d and type(norm) is torch.nn.BatchNorm2d


def _with_bias(layer: Any) -> torch.nn.Module:
    """A layer of the same kind that has a bias."""
    if isinstance(layer, torch.nn.Linear):
        return torch.nn.Linear(layer.in_features, layer.out_features, dtype=layer.weight.dtype)
    return torch.nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
        layer.groups, padding_mode=layer.padding_mode, dtype=layer.weight.dtype,
    )  # fmt: skip
