"""Anybody's network: the module that an importable function or class builds from plain arguments."""

import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.torchvision import import_torchvision
from lth_runner.networks.calling import adapted, check_output
from lth_runner.networks.interface import Architecture

EXAMPLE = "for example network.builder=torchvision.models.resnet18 or network.builder=my_lab.nets.Net"
SEED = 0  # of the weights that the builder draws: equal settings give equal weights


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The module that a builder returns, called as `networks.calling.adapted` says.

    The weights that the builder draws from torch's global generator on the CPU are those of seed 0, and the generator
    is left as it was. A builder that draws elsewhere (NumPy, `random`) has to seed itself.

    Attributes:
        builder: "package.module.name" or "package.module:name"; a package of the current directory is found too.
        arguments: passed to the builder by keyword.
        output: which entry of the module's output is the answer; None if it returns a tensor.
        pool: how measures treat positions of a sequence: "none", or "mean" over those that are real.
    """

    kind: ClassVar[str] = "imported"

    builder: str
    arguments: dict[str, Any]
    output: str | int | None
    pool: str

    def __post_init__(self) -> None:
        if self.builder is None:
            raise ConfigError(f"network=imported needs what builds it, {EXAMPLE}")
        if not isinstance(self.builder, str) or not re.fullmatch(r"\w+(\.\w+)*[.:]\w+(\.\w+)*", self.builder):
            raise ConfigError(f"network.builder must be a dotted name, {EXAMPLE}, got {self.builder!r}")
        if not isinstance(self.arguments, dict) or not all(isinstance(name, str) for name in self.arguments):
            raise ConfigError(f"network.arguments must be values by name, got {self.arguments!r}")
        check_output(self.output)
        checks.choice("network.pool", self.pool, ("none", "mean"))

    def module(self) -> torch.nn.Module:
        """A fresh module; on the meta device one without values, or a real one if the builder needs values."""
        if torch.get_default_device().type == "meta":
            try:
                return self._built("meta")
            except ConfigError:
                pass  # the builder reads a value; whatever else is wrong is wrong on the CPU too
        return self._built("cpu")

    def _built(self, device: str) -> torch.nn.Module:
        build = import_builder(self.builder)
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.default_generator.manual_seed(SEED)
            try:
                module = build(**self.arguments)
            except TypeError as error:
                signature = f"its signature is {_signature(build)}"
                raise ConfigError(
                    f"network.arguments do not fit {self.builder}: {_line(error)}; {signature}"
                ) from error
            except Exception as error:
                raise ConfigError(
                    f"{self.builder} failed with network.arguments={self.arguments}: {_line(error)}"
                ) from error
        if not isinstance(module, torch.nn.Module):
            raise ConfigError(f"network.builder={self.builder} gave a {type(module).__name__}, not a torch.nn.Module")
        return adapted(module, self.output)


def pool_of(architecture: Architecture) -> str | None:
    """How measures treat the positions of the network's outputs: "mean", or None for each by itself."""
    return architecture.pool if isinstance(architecture, Imported) and architecture.pool != "none" else None


def import_builder(path: str) -> Callable[..., Any]:
    """The function or class at "package.module.name" or "package.module:name".

    Raises:
        ConfigError: there is no such thing, it cannot be imported, or it cannot be called.
    """
    found, names = _longest_module(path)
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            near = checks.nearest(name, _names_in(found))
            raise ConfigError(f"network.builder={path}: {_name_of(found)} has no {name}{near}") from None
    if not callable(found):
        raise ConfigError(f"network.builder={path} is a {type(found).__name__}, neither a function nor a class")
    return found


def _longest_module(path: str) -> tuple[Any, list[str]]:
    """The longest part of the path that is a module, and the names that follow: at least the last one."""
    names = path.replace(":", ".").split(".")
    for end in range(len(names) - 1, 0, -1):
        module = _module(".".join(names[:end]), path)
        if module is not None:
            return module, names[end:]
    near = checks.nearest(names[0], [module.name for module in pkgutil.iter_modules()])
    raise ConfigError(f"network.builder={path}: there is no package {names[0]}{near}, installed or in {os.getcwd()}")


def _module(name: str, path: str) -> ModuleType | None:
    """The module of that name; None if there is none."""
    _make_current_directory_importable(name.split(".")[0])
    try:
        return _import_repaired(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            return None
        raise ConfigError(f"network.builder={path}: {name} cannot be imported: {_line(error)}") from error
    except Exception as error:
        raise ConfigError(f"network.builder={path}: {name} cannot be imported: {_line(error)}") from error


def _import_repaired(name: str) -> ModuleType:
    """A module, also where it imports a torchvision that does not fit torch."""
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import_torchvision("torchvision")
    return importlib.import_module(name)


def _make_current_directory_importable(package: str) -> None:
    """A console script does not see it. It comes last and only if needed, so that no file there hides a package."""
    if package not in sys.modules and importlib.util.find_spec(package) is None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _names_in(found: Any) -> list[str]:
    submodules = pkgutil.iter_modules(found.__path__) if "__path__" in dir(found) else ()
    return [*dir(found), *(module.name for module in submodules)]


def _name_of(found: Any) -> str:
    return getattr(found, "__name__", type(found).__name__)


def _signature(build: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(build))
    except ValueError:  # written in C
        return "not known"


def _line(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
