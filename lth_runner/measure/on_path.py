"""Which weights of a plain sequence of layers lie on a path from an input to an output; the others do nothing."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from lth_runner.networks.activations import RELU
from lth_runner.networks.attention import children
from lth_runner.networks.chain_expansion import ChainLayer
from lth_runner.networks.neuron_copies import CopiedLayer
from lth_runner.networks.redundant import RedundantLinear
from lth_runner.networks.sign_activations import Sign
from lth_runner.networks.two_layer_expansion import Gadget

AS_THEY_ARE = (  # no path ends in them, and none begins
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, CopiedLayer, RedundantLinear, ChainLayer, nn.Flatten, nn.Unflatten,
    nn.Identity, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
)  # fmt: skip
ENTRY_BY_ENTRY = (  # every entry, or channel, by itself
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus, Sign,
    nn.Hardsigmoid, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
)  # fmt: skip
LARGEST: Any = {nn.MaxPool1d: nn.AvgPool1d, nn.MaxPool2d: nn.AvgPool2d}  # an average shows every entry of a window


@torch.no_grad()
def on_path(module: nn.Module, inputs: Sequence[int]) -> dict[str, np.ndarray] | None:
    """By parameter (or buffer of listed edges) which of its weights lie on a path from an input to an output.

    A weight is an edge where it is not 0. All edges count as 1, a signal of ones is sent forward from the inputs and
    back from the outputs that it reaches, and an edge is on a path if the derivative of the one by it, given the
    other, is positive: every step is a sum of numbers that are not negative, so that nothing cancels. Signs and the
    zeros of a ReLU are not looked at, as usual. Biases are no inputs; a coordinate that a construction keeps at 1 is.

    Args:
        module: a plain sequence of layers, with its weights.
        inputs: shape of one input.

    Returns:
        bool arrays of the tensors' shapes; None where paths are not known: no plain sequence, or layers of other kinds.

    Reference: Tanaka et al., NeurIPS 2020 (SynFlow), whose scores count paths alike.
    """
    parts = _sequence(module)
    if parts is None:
        return None
    edges = [_edges(part) for part in parts]
    signals = [torch.ones(1, *inputs)]
    for part, kept in zip(parts, edges, strict=True):
        signals.append(_positive(functional_call(part, kept, signals[-1].to(_dtype(part)))))
    back, found = signals[-1], dict[int, torch.Tensor]()
    for part, kept, signal in zip(parts[::-1], edges[::-1], signals[-2::-1], strict=True):
        back, *derivatives = _derivatives(part, kept, signal, back)
        own = _weights(part)
        for (name, tensor), derivative in zip(own.items(), derivatives, strict=True):
            lies = (derivative > 0) & (kept[name] > 0)
            found[id(tensor)] = lies | found[id(tensor)] if id(tensor) in found else lies  # a part may be used twice
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: found[id(tensor)].numpy() for name, tensor in named if id(tensor) in found}


def _sequence(module: nn.Module) -> list[nn.Module] | None:
    """The layers of a plain sequence, nested ones in turn, as layers in which paths show; None for any other module."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        inner = [_sequence(part) for _, part in children(module)]
        return None if None in inner else [part for parts in inner for part in parts or []]
    if type(module) in ENTRY_BY_ENTRY:
        return []
    if type(module) in LARGEST:
        return _averaged(module)
    if isinstance(module, Gadget):
        return [_unsaturated(module)]
    return [module] if type(module) in AS_THEY_ARE else None


def _unsaturated(gadget: Gadget) -> Gadget:
    """The same tensors with ReLU between them: the derivative of a tanh of many paths would be 0."""
    found = copy.copy(gadget)
    found._modules = dict(gadget._modules)
    found.activation, found.behaviour = RELU.module(), RELU.behaviour()
    return found


def _averaged(pool: Any) -> list[nn.Module] | None:
    """An average over the windows of a max-pooling; None where there is none of these windows."""
    if pool.dilation not in (1, (1, 1)) or pool.return_indices:
        return None
    return [LARGEST[type(pool)](pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)]


def _weights(part: nn.Module) -> dict[str, torch.Tensor]:
    """Its tensors of edges: not the biases, nor whole numbers."""
    return {name: tensor for name, tensor in _tensors(part).items() if tensor.ndim > 1 and tensor.is_floating_point()}


def _edges(part: nn.Module) -> dict[str, torch.Tensor]:
    """1 for every weight that is not 0, 0 for every bias."""
    weights, dtype = _weights(part), _dtype(part)
    return {
        name: (tensor != 0).to(dtype) if name in weights else torch.zeros_like(tensor, dtype=dtype)
        for name, tensor in _tensors(part).items()
        if tensor.is_floating_point()
    }


def _dtype(part: nn.Module) -> torch.dtype:
    """Paths through the up to 31 layers of a chain are too many for float32."""
    return torch.float64 if isinstance(part, ChainLayer) else torch.float32


def _tensors(part: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(part.named_parameters()), **dict(part.named_buffers())}


@torch.enable_grad()
def _derivatives(
    part: nn.Module, edges: Mapping[str, torch.Tensor], signal: torch.Tensor, back: torch.Tensor
) -> list[torch.Tensor]:
    """What comes back at the inputs of a layer, as zeros and ones, and the derivative by each of its weights."""
    tensors = {name: tensor.detach() for name, tensor in edges.items()}
    by = [signal.to(_dtype(part)).detach(), *(tensors[name] for name in _weights(part))]
    for tensor in by:
        tensor.requires_grad_()
    output = functional_call(part, tensors, by[0])
    first, *others = torch.autograd.grad((output * back).sum(), by)  # with `back` as an argument torch imports sympy
    return [_positive(first), *others]


def _positive(signal: torch.Tensor) -> torch.Tensor:
    return (signal > 0).float()  # as ones again: numbers of paths would overflow
