"""Anybody's network: the module that an importable function or class builds from plain arguments."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.imports import import_object
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
    found = import_object(path, "network.builder")
    if not callable(found):
        raise ConfigError(f"network.builder={path} is a {type(found).__name__}, neither a function nor a class")
    return found


def _signature(build: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(build))
    except ValueError:  # written in C
        return "not known"


def _line(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
