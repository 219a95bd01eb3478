"""What an architecture is: anything that builds a module; names and shapes of its weights follow from that."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.edges import Edges

ALIGNMENT = 64  # bytes: how torch's own tensors lie in memory
MAX_DEPTH = 10_000  # of layers or blocks in a row: nobody has trained more, and torch takes 1 ms to build each


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
class Widened(Protocol):
    """An architecture that puts hidden neurons between the inputs and the outputs of its target's layers."""

    @property
    def hidden_per_input(self) -> float:
        """These neurons for each input, over all layers that are replaced."""
        ...


@runtime_checkable
class Rewritten(Architecture, Protocol):
    """An architecture that computes what another one does, with other tensors in place of some of its own."""

    @property
    def original(self) -> Architecture:
        """The other one."""
        ...

    def folded(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Parameters and buffers of this network that compute what those of the original do, float64."""
        ...


@runtime_checkable
class Expansion(Architecture, Protocol):
    """An architecture that approximates another one, its target: each target weight is a sum over several paths."""

    @property
    def target(self) -> Architecture:
        """The architecture it stands for."""
        ...

    def takes_negatives(self) -> bool:
        """Whether the network's own inputs may have negative entries."""
        ...

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The pruned network in float64: what `filled` gives for dense masked arrays, with less memory.

        Args:
            masked: the random tensors, by parameter name.
            stored: all other parameters and buffers.
        """
        ...

    def readings(self, assembled: torch.nn.Module) -> dict[str, np.ndarray]:
        """What the pruned network multiplies with in place of each target weight that it approximates.

        Args:
            assembled: by `assembled`, so that what is read is what computes.

        Returns:
            By the target's parameter names, (readings, *shape) float64: one or more (for positive and for negative
            inputs; for every copy of a neuron).
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """How far a layer's output may be from what its readings give, where its added neurons are not quite linear.

    Output o differs by at most sum_j weight[o, j] |x_j|^order + bias[o], for inputs x of any size.

    Attributes:
        order: 2 or 3.
        weight: (outputs, inputs, *kernel), 0 or more.
        bias: (outputs,); None where the layer has none, or a stored one.
    """

    order: int
    weight: np.ndarray
    bias: np.ndarray | None


@runtime_checkable
class NearlyLinear(Expansion, Protocol):
    """An expansion that may put neurons on its paths whose functions are linear only near zero."""

    def deviations(self, assembled: torch.nn.Module) -> dict[str, Deviation]:
        """By the names of the target's layers, what readings leave out; empty where they say it all.

        Args:
            assembled: by `assembled`.
        """
        ...


@runtime_checkable
class Packed(Architecture, Protocol):
    """An architecture some of whose tensors take fewer bits than their types have."""

    def entry_bits(self, name: str) -> int | None:
        """Bits that are enough for each entry of a tensor; None: those of its type."""
        ...


def parameter_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter by name ("fc1.weight"), in the order in which the module lists them; tied ones once."""
    return {name: tuple(parameter.shape) for name, parameter in skeleton(architecture).named_parameters()}


def num_parameters(architecture: Architecture) -> int:
    """How many numbers its parameters hold, tied ones once."""
    return sum(math.prod(shape) for shape in parameter_shapes(architecture).values())


def state_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The same of parameters and persistent buffers: all that a state dict holds, tied tensors once."""
    return {name: tuple(tensor.shape) for name, tensor in tensors_of(skeleton(architecture)).items()}


def tensors_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and persistent buffers in the order of the module's state dict, tied ones under their first name."""
    tensors = module.state_dict(keep_vars=True)
    return {name: tensors[name] for name, first in first_names(module).items() if name == first}


def first_names(module: torch.nn.Module) -> dict[str, str]:
    """For every name of the module's state dict the first name of the same tensor, mostly itself."""
    first: dict[int, str] = {}
    tensors = module.state_dict(keep_vars=True)
    return {
        name: first.setdefault(id(tensor), name) for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)
    }


def below(architecture: Architecture, layers: Iterable[str]) -> set[str]:
    """The names of all parameters and persistent buffers below these layers; of tied ones the first.

    Args:
        layers: paths of layers or blocks ("conv1", "layer1.0").

    Raises:
        ConfigError: there is no such layer.
    """
    module = skeleton(architecture)
    first = {id(tensor): name for name, tensor in tensors_of(module).items()}
    names = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    found = {
        layer: {first[id(tensor)] for name, tensor in names if name.startswith(f"{layer}.") and id(tensor) in first}
        for layer in layers
    }
    for layer, tensors in found.items():
        if not tensors:
            known = ", ".join(parameter_shapes(architecture))
            raise ConfigError(f"frozen names {layer}, which is no layer of the network: it has {known}")
    return set().union(*found.values())


def skeleton(architecture: Architecture) -> torch.nn.Module:
    """The module without numbers, where its builder can do without them."""
    try:
        with torch.device("meta"):
            return architecture.module()
    except (RuntimeError, NotImplementedError):  # a builder that looks at the numbers it makes
        return architecture.module()


@torch.no_grad()
def fill_(module: torch.nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Overwrites tensors by name; each keeps its type.

    Raises:
        KeyError: there is no tensor of that name.
        RuntimeError: a shape is another.
    """
    tensors = tensors_of(module)
    for name, array in arrays.items():
        if tensors[name].shape != array.shape:
            raise RuntimeError(f"{name} has shape {tuple(tensors[name].shape)}, not {array.shape}")
        tensors[name].copy_(torch.as_tensor(array))


def filled(
    architecture: Architecture, weights: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float32
) -> torch.nn.Module:
    """The architecture's module with the given weights, not trainable and in evaluation mode.

    Raises:
        RuntimeError: a weight is missing, unknown or of another shape.
    """
    module = architecture.module().to(dtype)
    _check_given(module, weights)
    fill_(module, weights)
    return module.requires_grad_(False).eval()


def shared(architecture: Architecture, weights: Mapping[str, np.ndarray]) -> torch.nn.Module:
    """The same in float64, whose tensors are the arrays' own memory where that can be: for who only reads them.

    Raises:
        RuntimeError: a weight is missing, unknown or of another shape.
    """
    module = architecture.module()
    _check_given(module, weights)
    tensors = tensors_of(module)
    for name, array in weights.items():
        if tensors[name].shape != array.shape:
            raise RuntimeError(f"{name} has shape {tuple(tensors[name].shape)}, not {array.shape}")
        if tensors[name].is_floating_point():
            tensors[name].data = aligned(array)  # frees what the module had there
        else:
            tensors[name].copy_(torch.as_tensor(array))
    return module.double().requires_grad_(False).eval()


def aligned(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor, a copy where it does not lie as torch's own do: products may depend on that in a bit."""
    usual = array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % ALIGNMENT == 0
    return torch.from_numpy(array) if usual else torch.from_numpy(array.copy()).clone()


def _check_given(module: torch.nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    if missing := dict(module.named_parameters()).keys() - weights.keys():
        raise RuntimeError(f"there are no weights for {', '.join(sorted(missing))}")
    if unknown := weights.keys() - tensors_of(module).keys():
        raise RuntimeError(f"the network has no {', '.join(sorted(unknown))}")
