"""A module that exists in memory alone: what can be said of it in a file, and how it is recognised when given again."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch

from lth_runner.core.errors import DataError
from lth_runner.networks.calling import adapted, check_output


class Skeleton(torch.nn.Module):
    """Parameters and buffers of given names and shapes, and no forward pass."""

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        raise DataError("this ticket was made from a module in memory: give it as module=...")


@dataclass(frozen=True, kw_only=True)
class Instance:
    """The architecture of a module in memory. `Instance.of(module)` is bound to it; one read from a file is not.

    Attributes:
        parameters: shapes by name; tied ones once.
        buffers: shapes by name, of those that a state dict holds.
        digest: of names, shapes and types of numbers of both, whatever their order.
        output: which entry of the module's output is the answer; None if it returns a tensor.
    """

    kind: ClassVar[str] = "instance"
    _module: ClassVar[torch.nn.Module | None] = None  # of one object, once bound: no field, since no file can hold it

    parameters: dict[str, list[int]]
    buffers: dict[str, list[int]]
    digest: str
    output: str | int | None

    def __post_init__(self) -> None:
        shapes = [*_entries(self.parameters), *_entries(self.buffers)]
        if not isinstance(self.digest, str) or not all(isinstance(s, list) and all(map(_size, s)) for s in shapes):
            raise DataError("parameters and buffers of an instance must be lists of sizes by name, its digest a text")
        check_output(self.output)

    @classmethod
    def of(cls, module: torch.nn.Module, output: str | int | None = None) -> Self:
        """The architecture of a module, bound to it; the module is not copied, and must keep its shapes."""
        parameters = dict(module.named_parameters())
        kept = module.state_dict().keys()
        buffers = {name: buffer for name, buffer in module.named_buffers() if name in kept}
        instance = cls(
            parameters={name: list(tensor.shape) for name, tensor in parameters.items()},
            buffers={name: list(tensor.shape) for name, tensor in buffers.items()},
            digest=_digest(parameters, buffers),
            output=output,
        )
        object.__setattr__(instance, "_module", module)
        return instance

    def bound(self, module: torch.nn.Module) -> "Instance":
        """This architecture with the module that it was made from, or one alike.

        Raises:
            DataError: the module has other parameters or buffers.
        """
        found = Instance.of(module, self.output)
        if found != self:
            raise DataError(f"the given module is not the one of this ticket: {_difference(self, found)}")
        return found

    def module(self) -> torch.nn.Module:
        """A copy of the bound module, without values on the meta device; a `Skeleton` where none is bound."""
        if self._module is None:
            return _skeleton(self.parameters, self.buffers)
        memo = _without_values(self._module) if torch.get_default_device().type == "meta" else {}
        return adapted(copy.deepcopy(self._module, memo), self.output)


def _entries(shapes: Any) -> list[Any]:
    """The shapes, or None for what is no dict of names."""
    named = isinstance(shapes, dict) and all(isinstance(name, str) for name in shapes)
    return list(shapes.values()) if named else [None]


def _size(value: Any) -> bool:
    return type(value) is int and value >= 0


def _digest(parameters: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]) -> str:
    def described(tensors: Mapping[str, torch.Tensor]) -> list[Any]:
        return sorted([name, list(tensor.shape), str(tensor.dtype)] for name, tensor in tensors.items())

    return hashlib.sha256(json.dumps([described(parameters), described(buffers)]).encode()).hexdigest()


def _difference(expected: Instance, found: Instance) -> str:
    """The first thing in which two architectures differ."""
    for what in ("parameters", "buffers"):
        ours, theirs = getattr(expected, what), getattr(found, what)
        if lacking := [name for name in ours if name not in theirs]:
            return f"it lacks the {what} {', '.join(lacking)}"
        if more := [name for name in theirs if name not in ours]:
            return f"it has {what} that the ticket lacks, {', '.join(more)}"
        for name, shape in ours.items():
            if theirs[name] != shape:
                return f"{name} has shape {theirs[name]}, not {shape}"
    return "names and shapes agree, but its numbers are of another type (float32, float64, ...)"


def _without_values(module: torch.nn.Module) -> dict[int, Any]:
    """For `copy.deepcopy`: a tensor on the meta device in place of every parameter and buffer."""
    parameters = {
        id(tensor): torch.nn.Parameter(tensor.detach().to("meta"), tensor.requires_grad)
        for tensor in module.parameters()
    }
    return parameters | {id(tensor): tensor.detach().to("meta") for tensor in module.buffers()}


def _skeleton(parameters: Mapping[str, list[int]], buffers: Mapping[str, list[int]]) -> torch.nn.Module:
    root = Skeleton()
    try:
        for path, shape in parameters.items():
            parent, name = _parent(root, path)
            parent.register_parameter(name, torch.nn.Parameter(torch.empty(shape)))
        for path, shape in buffers.items():
            parent, name = _parent(root, path)
            parent.register_buffer(name, torch.empty(shape))
    except KeyError as error:
        raise DataError(f"no module can have all of this ticket's parameters and buffers: {error.args[0]}") from error
    return root


def _parent(root: torch.nn.Module, path: str) -> tuple[torch.nn.Module, str]:
    """The submodule that holds the tensor at a dotted path, made where it is missing, and the tensor's own name."""
    *parents, name = path.split(".")
    for part in parents:
        children = dict(root.named_children())
        if part not in children:
            root.add_module(part, torch.nn.Module())
        root = children.get(part) or root.get_submodule(part)
    return root, name
