"""A network of this package with another activation function in place of its ReLUs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.activations import Activation
from lth_runner.networks.attention import replaced_
from lth_runner.networks.interface import Architecture


@dataclass(frozen=True, kw_only=True)
class Activated:
    """The original with every torch.nn.ReLU replaced, where it stands and under its name.

    Attributes:
        original: has its ReLUs as layers (fc, lenet_300_100, lenet5, conv2, ...).
        activation: what takes their place.
    """

    kind: ClassVar[str] = "activated"
    original: Architecture
    activation: Activation

    def __post_init__(self) -> None:
        check_relus(self.original)

    def module(self) -> torch.nn.Module:
        return with_relus_replaced(self.original.module(), self.activation.module)


def check_relus(original: Architecture) -> None:
    """Refuses a network without ReLUs.

    Raises:
        ConfigError: none of its layers is one.
    """
    with torch.device("meta"):
        found = _relus(original.module())
    if not found:
        raise ConfigError(
            f"{type(original).__name__} has no torch.nn.ReLU that another activation could replace: choose a network "
            "such as fc, with two layers or more"
        )


def with_relus_replaced(module: torch.nn.Module, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The module with a new layer in the place of every torch.nn.ReLU, under its name."""
    for path in _relus(module):
        module = replaced_(module, path, make())
    return module


def _relus(module: torch.nn.Module) -> list[str]:
    found = module.named_modules(remove_duplicate=False)
    return [path for path, part in found if type(part) is torch.nn.ReLU]
