"""What an architecture is: anything that builds a module; names and shapes of its weights follow from that."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from lth_runner.networks.edges import Edges


@runtime_checkable
class Architecture(Protocol):
    """An architecture. Implementations are frozen keyword-only dataclasses."""

    def module(self) -> torch.nn.Module:
        """A fresh module, whatever its weights; called with a batch of inputs, it gives one row of outputs for each."""
        ...


class Masked(Protocol):
    """A random tensor times its mask, drawn when it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the mask."""
        ...

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of the first axis, and their masked float64 values; every row once, in order."""
        ...

    def dense(self, dtype: Any, columns: np.ndarray | None = None) -> np.ndarray:
        """The whole masked tensor, or the given columns (entries of the second axis) of it."""
        ...

    def edges(self) -> Edges:
        """The kept entries of a matrix (axes of length 1 may follow), per output, in the order of the inputs."""
        ...


@runtime_checkable
class Expansion(Architecture, Protocol):
    """An architecture that approximates another one, its target: each target weight is a sum over several paths."""

    @property
    def target(self) -> Architecture:
        """The architecture it stands for."""
        ...

    def assembled(self, masked: Mapping[str, Masked], dtype: torch.dtype) -> torch.nn.Module:
        """The pruned network, ready to be used: what `filled` gives for dense masked arrays, with less memory."""
        ...

    def effective(self, masked: Mapping[str, Masked]) -> dict[str, np.ndarray]:
        """By the target's parameter names, (readings, *shape) float64: what stands for each target weight, one or more
        times (for positive and for negative inputs; for every copy of a neuron)."""
        ...


def parameter_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter by name ("fc1.weight"), in the order in which the module lists them; tied ones once."""
    with torch.device("meta"):
        return {name: tuple(parameter.shape) for name, parameter in architecture.module().named_parameters()}


def filled(
    network: Architecture, weights: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float32
) -> torch.nn.Module:
    """The network's module with the given weights, frozen and in evaluation mode.

    Raises:
        RuntimeError: a weight is missing, unknown or of another shape.
    """
    module = network.module().to(dtype)
    module.load_state_dict({name: torch.as_tensor(value, dtype=dtype) for name, value in weights.items()})
    return module.requires_grad_(False).eval()
