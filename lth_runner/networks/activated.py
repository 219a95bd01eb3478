"""A network of this package with another activation function in place of its ReLUs."""

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
        with torch.device("meta"):
            found = _relus(self.original.module())
        if not found:
            raise ConfigError(
                f"{type(self.original).__name__} has no torch.nn.ReLU that another activation could replace: choose a "
                "network such as fc, with two layers or more"
            )

    def module(self) -> torch.nn.Module:
        module = self.original.module()
        for path in _relus(module):
            module = replaced_(module, path, self.activation.module())
        return module


def _relus(module: torch.nn.Module) -> list[str]:
    found = module.named_modules(remove_duplicate=False)
    return [path for path, part in found if type(part) is torch.nn.ReLU]
