"""Networks of linear layers with nonlinearities between them: which networks they are, and what is seen in them."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import Inputs, split
from lth_runner.networks.attention import children
from lth_runner.networks.interface import Architecture, skeleton
from lth_runner.prune.units import Place, Units

BATCH = 2048  # images per forward pass
BEFORE: Any = (torch.nn.Flatten, torch.nn.Identity)
BETWEEN: Any = (
    torch.nn.ReLU, torch.nn.LeakyReLU, torch.nn.ReLU6, torch.nn.GELU, torch.nn.ELU, torch.nn.SiLU, torch.nn.Sigmoid,
    torch.nn.Tanh, torch.nn.Softplus, torch.nn.Identity,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TwoLayers:
    """A sequence of a linear layer, functions of single neurons, and a linear layer.

    Attributes:
        first, second: paths of the layers.
        inputs, hidden, outputs: widths.
        biases: whether both layers have them; False where one has none.
        units: the hidden neurons.
    """

    first: str
    second: str
    inputs: int
    hidden: int
    outputs: int
    biases: bool
    units: Units

    @torch.no_grad()
    def activations(self, module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
        """What the second layer is given: (N, hidden) float64 on the CPU, the module in the precision that it has."""
        found: list[torch.Tensor] = []
        hook = module.get_submodule(self.second).register_forward_pre_hook(lambda layer, args: found.append(args[0]))
        for block in split(inputs, BATCH):
            module(block)
        hook.remove()
        return torch.cat(found).to("cpu", torch.float64)


def two_layers(architecture: Architecture) -> TwoLayers:
    """The two layers of an architecture.

    Raises:
        ConfigError: it has others.
    """
    found = hidden_layers(architecture)
    if len(found) != 1:
        raise ConfigError(
            f"this selects hidden neurons of networks of two linear layers, and {type(architecture).__name__} is none: "
            "choose network=fc"
        )
    return found[0]


def hidden_layers(architecture: Architecture) -> list[TwoLayers]:
    """Every hidden layer of a sequence of linear layers with functions of single neurons between them, as the two that
    it stands between; none where the architecture is another."""
    module = skeleton(architecture)
    parts = children(module) if isinstance(module, torch.nn.Sequential) else []
    linear = [i for i, (_, part) in enumerate(parts) if type(part) is torch.nn.Linear]
    if (
        not linear
        or linear[-1] != len(parts) - 1
        or not all(isinstance(part, BEFORE) for _, part in parts[: linear[0]])
        or not all(isinstance(part, BETWEEN) for i, (_, part) in enumerate(parts) if i > linear[0] and i not in linear)
        or len({id(parts[i][1]) for i in linear}) < len(linear)
    ):
        return []
    tensors = {name for name, _ in module.named_parameters()}
    return [_between(parts[i], parts[j], tensors) for i, j in pairwise(linear)]


def _between(one: tuple[str, Any], two: tuple[str, Any], tensors: Collection[str]) -> TwoLayers:
    (first, before), (second, after) = one, two
    places = (
        Place(tensor=f"{first}.weight", axis=0),
        *([Place(tensor=f"{first}.bias", axis=0)] if f"{first}.bias" in tensors else []),
        Place(tensor=f"{second}.weight", axis=1),
    )
    return TwoLayers(
        first=first,
        second=second,
        inputs=before.in_features,
        hidden=before.out_features,
        outputs=after.out_features,
        biases=before.bias is not None and after.bias is not None,
        units=Units(count=before.out_features, places=places),
    )
