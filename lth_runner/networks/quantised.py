"""Networks whose weights are written in a code: what a network holds are the parts of the code, not the weights."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Architecture, Masked, fill_, parameter_shapes

Shape = tuple[int, ...]
SUFFIX = "_code"  # the parts of fc1.weight are fc1.weight_code.indices and so on


@runtime_checkable
class Code(Protocol):
    """A way to write a tensor. Implementations are frozen keyword-only dataclasses with a `kind`."""

    def parts(self, shape: Shape) -> dict[str, tuple[Shape, type[np.generic]]]:
        """Shape and type of every part that a tensor of this shape takes."""
        ...

    def width(self, part: str, shape: Shape) -> int:
        """Bits that are enough for each entry of a part."""
        ...

    def decoded(self, parts: Mapping[str, np.ndarray], shape: Shape) -> np.ndarray:
        """The tensor, float64."""
        ...


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """The target with some weights in code, decoded before each forward pass; all others are parameters as they were.

    Attributes:
        target: the architecture it stands for.
        codes: by the target's parameter names.
    """

    kind: ClassVar[str] = "quantised"
    target: Architecture
    codes: dict[str, Code]

    def __post_init__(self) -> None:
        if unknown := self.codes.keys() - parameter_shapes(self.target).keys():
            raise ConfigError(f"codes name {', '.join(sorted(unknown))}, which the target does not have")

    def module(self) -> torch.nn.Module:
        """The network that holds codes; what it decodes them to is no part of its state."""
        module = self.target.module()
        parameters = dict(module.named_parameters())
        for name, code in self.codes.items():
            tensor = parameters[name]
            places = _places(module, tensor)
            for owner, leaf in places:
                del owner._parameters[leaf]
                owner.register_buffer(leaf, tensor.detach().clone(), persistent=False)
            path, _, leaf = name.rpartition(".")
            part = CodedTensor(code, tuple(tensor.shape), [(path_of(module, owner), leaf) for owner, leaf in places])
            module.get_submodule(path).add_module(leaf + SUFFIX, part)
        module.register_forward_pre_hook(_decode)
        return module

    def takes_negatives(self) -> bool:
        """See `Expansion`: a weight stands for itself, whatever the sign of its input."""
        return True

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The target's own module with the decoded weights, float64."""
        if masked:
            raise ConfigError(f"nothing of a quantised network is random, and {', '.join(masked)} is masked")
        module = copy.deepcopy(self.target.module()).double()
        own = {name for name in stored if self.part(name) is None}
        fill_(module, {name: stored[name] for name in own} | self._decoded(stored))
        return module.requires_grad_(False).eval()

    def readings(self, assembled: torch.nn.Module) -> dict[str, np.ndarray]:
        """(1, *shape) of every weight in code: see `Expansion`."""
        parameters = dict(assembled.named_parameters())
        return {name: parameters[name].detach().numpy()[None] for name in self.codes}

    def part(self, name: str) -> tuple[str, str] | None:
        """The weight and the part that a tensor of the network is; None of one that is no part of a code."""
        weight, _, part = name.rpartition(".")
        weight = weight.removesuffix(SUFFIX)
        return (weight, part) if weight in self.codes and name == f"{weight}{SUFFIX}.{part}" else None

    def entry_bits(self, name: str) -> int | None:
        """Bits that are enough for each entry of a tensor; None of one that is no part of a code; see `Packed`."""
        found = self.part(name)
        return None if found is None else self.codes[found[0]].width(found[1], self._shapes()[found[0]])

    def _decoded(self, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        shapes = self._shapes()
        return {
            name: code.decoded(
                {part: stored[f"{name}{SUFFIX}.{part}"] for part in code.parts(shapes[name])}, shapes[name]
            )
            for name, code in self.codes.items()
        }

    def _shapes(self) -> dict[str, Shape]:
        return parameter_shapes(self.target)


class CodedTensor(torch.nn.Module):
    """The parts of one code, as buffers.

    Args:
        shape: of the tensor.
        places: paths of the modules that use it, and its names there; several if it is tied.
    """

    def __init__(self, code: Code, shape: Shape, places: list[tuple[str, str]]) -> None:
        super().__init__()
        self.code, self.shape, self.places = code, shape, places
        for name, (size, kind) in code.parts(shape).items():
            self.register_buffer(name, torch.as_tensor(np.zeros(size, kind)))

    def decoded(self) -> torch.Tensor:
        """The tensor, float64."""
        parts = {name: buffer.cpu().numpy() for name, buffer in self.named_buffers()}
        return torch.from_numpy(self.code.decoded(parts, self.shape))


@torch.no_grad()
def _decode(module: torch.nn.Module, args: Any) -> None:
    """What a quantised network does before it computes."""
    del args
    for part in list(module.modules()):
        if isinstance(part, CodedTensor):
            tensor = part.decoded()
            for path, leaf in part.places:
                module.get_submodule(path)._buffers[leaf] = tensor.to(getattr(module.get_submodule(path), leaf))


def _places(module: torch.nn.Module, tensor: torch.nn.Parameter) -> list[tuple[torch.nn.Module, str]]:
    return [(owner, leaf) for owner in module.modules() for leaf, found in _own(owner) if found is tensor]


def _own(owner: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    yield from ((leaf, found) for leaf, found in owner._parameters.items() if found is not None)


def path_of(module: torch.nn.Module, part: torch.nn.Module) -> str:
    """Under which the module has the part."""
    return next(path for path, found in module.named_modules() if found is part)
