"""How a module of any signature is called with a batch: named inputs as keywords, one tensor as the answer."""

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch.nn.parameter import is_lazy

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError

M = TypeVar("M", bound=torch.nn.Module)


def adapted(module: M, output: str | int | None) -> M:
    """The very module, which from now on takes a dict of named tensors too, and gives one tensor.

    A dict as the only positional argument is passed on as keywords. A tensor is returned as it is; of a dict or an
    object, the entry or attribute `output`; of a tuple or a list, the entry number `output`. Both are hooks, so that
    names of parameters, copies and `torch.func.functional_call` stay what they are. A trace by torch.fx sees the
    module's own forward pass, without them.

    Raises:
        ConfigError: the module has no parameters yet; when it is called, the output asked for does not exist.
    """
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise ConfigError("the network's shapes are not known before its first call: replace its lazy layers")
    module.register_forward_pre_hook(_by_keyword, with_kwargs=True)
    module.register_forward_hook(partial(_selected, None if output is None else str(output)))
    return module


def check_output(output: Any) -> None:
    """Refuses anything but None, a name or the number of an entry."""
    if output is not None and (isinstance(output, bool) or not isinstance(output, str | int) or output == ""):
        raise ConfigError(f"network.output must be null, a name or the number of an entry, got {output!r}")


def _by_keyword(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    del module
    if len(args) == 1 and isinstance(args[0], Mapping):
        return (), {**args[0], **kwargs}
    return args, kwargs


def _selected(name: str | None, module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> torch.Tensor:
    del args
    if isinstance(output, torch.Tensor):
        return output
    tensors = _tensors(output)
    returned = f"{type(module).__name__} returns a {type(output).__name__}"
    if not tensors:
        raise ConfigError(f"{returned} without tensors: wrap it in a module that returns one")
    if name is None:
        choices = ", ".join(f"network.output={known}" for known in tensors)
        raise ConfigError(f"{returned}, not a tensor: choose {choices}")
    if name not in tensors:
        near = checks.nearest(name, tensors)
        raise ConfigError(f"{returned} without a tensor {name}{near}: network.output must be of {', '.join(tensors)}")
    return tensors[name]


def _tensors(output: Any) -> dict[str, torch.Tensor]:
    """What a module returned, by key, number or attribute, as far as it is tensors."""
    named: Iterable[tuple[Any, Any]]
    if isinstance(output, Mapping):
        named = output.items()
    else:  # a named tuple has numbers and names
        entries = enumerate(output) if isinstance(output, tuple | list) else ()
        named = [*entries, *inspect.getmembers(output)]
    return {str(name): value for name, value in named if isinstance(value, torch.Tensor)}
