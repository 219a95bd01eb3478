"""What a training of weights makes small."""

from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import Inputs

Loss = Callable[[torch.nn.Module, Inputs, torch.Tensor | None], torch.Tensor]  # of module, inputs, labels


def classification(module: torch.nn.Module, inputs: Inputs, labels: torch.Tensor | None) -> torch.Tensor:
    """The mean cross-entropy of the module's outputs.

    Raises:
        ConfigError: there are no labels.
    """
    if labels is None:
        raise ConfigError("a training on the cross-entropy needs labels: choose a dataset that has them")
    return cross_entropy(module(inputs), labels)
