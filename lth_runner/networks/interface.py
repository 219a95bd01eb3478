"""What an architecture is: named layers with weights, and a module that carries them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch

if TYPE_CHECKING:
    from lth_runner.networks.masked_tensor import MaskedTensor


@runtime_checkable
class Network(Protocol):
    """An architecture. Implementations are frozen keyword-only dataclasses."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight and bias by parameter name ("fc1.weight"), in the order of the forward pass."""
        ...

    def module(self) -> torch.nn.Module:
        """A fresh module whose parameters are named as in `shapes`; its input is a batch of images (N, C, H, W)."""
        ...


@runtime_checkable
class RandomNetwork(Network, Protocol):
    """An architecture that approximates another one, its target: each target weight is a sum over several paths."""

    @property
    def target(self) -> Network:
        """The architecture it stands for."""
        ...

    def assembled(self, masked: "Mapping[str, MaskedTensor]", dtype: torch.dtype) -> torch.nn.Module:
        """The pruned network, ready to be used: what `filled` gives for dense masked arrays, with less memory."""
        ...

    def effective(self, masked: "Mapping[str, MaskedTensor]") -> dict[str, np.ndarray]:
        """By the target's parameter names, (readings, *shape) float64: what stands for each target weight, one or more
        times (for positive and for negative inputs; for every copy of a neuron)."""
        ...


def filled(network: Network, weights: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The network's module with the given weights, frozen and in evaluation mode.

    Raises:
        RuntimeError: a weight is missing, unknown or of another shape.
    """
    module = network.module().to(dtype)
    module.load_state_dict({name: torch.as_tensor(value, dtype=dtype) for name, value in weights.items()})
    return module.requires_grad_(False).eval()
