"""Heads of attentions and hidden neurons of the layers after them, and coefficients that scale them."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from lth_runner.data.interface import Inputs
from lth_runner.networks.attention import is_plain
from lth_runner.networks.interface import Architecture, skeleton
from lth_runner.prune.units import Place, Units

BETWEEN: Any = (
    torch.nn.ReLU, torch.nn.ReLU6, torch.nn.LeakyReLU, torch.nn.GELU, torch.nn.SiLU, torch.nn.ELU, torch.nn.Tanh,
    torch.nn.Sigmoid, torch.nn.Dropout, torch.nn.Identity,
)  # fmt: skip


def heads(architecture: Architecture) -> dict[str, Units]:
    """The heads of every attention of several, by its path: rows of its packed projection, columns of its last one."""
    found = {}
    for path, part in skeleton(architecture).named_modules():
        if isinstance(part, torch.nn.MultiheadAttention) and is_plain(part) and part.num_heads > 1:
            rows = [f"{path}.in_proj_weight"] + ([f"{path}.in_proj_bias"] if part.in_proj_bias is not None else [])
            size = part.embed_dim // part.num_heads
            places = [Place(tensor=name, axis=0, each=size, times=3) for name in rows]
            places.append(Place(tensor=f"{path}.out_proj.weight", axis=1, each=size))
            found[path] = Units(count=part.num_heads, places=tuple(places))
    return found


def hidden_neurons(architecture: Architecture) -> dict[str, Units]:
    """The neurons between two linear layers of a sequence, by the path of the first: its rows, the second's columns."""
    found = {}
    for path, part in skeleton(architecture).named_modules():
        if isinstance(part, torch.nn.Sequential):
            prefix = f"{path}." if path else ""
            for first, second, has_bias, count in _pairs(part):
                names = [f"{prefix}{first}.weight"] + ([f"{prefix}{first}.bias"] if has_bias else [])
                places = [Place(tensor=name, axis=0) for name in names]
                places.append(Place(tensor=f"{prefix}{second}.weight", axis=1))
                found[f"{prefix}{first}"] = Units(count=count, places=tuple(places))
    return found


def _pairs(sequence: torch.nn.Sequential) -> Iterator[tuple[str, str, bool, int]]:
    before: tuple[str, torch.nn.Linear] | None = None
    for name, part in sequence.named_children():
        if isinstance(part, torch.nn.Linear):
            if before is not None and before[1].out_features == part.in_features:
                yield before[0], name, before[1].bias is not None, part.in_features
            before = name, part
        elif not isinstance(part, BETWEEN):
            before = None


class Slimmed(torch.nn.Module):
    """A network whose units are multiplied by coefficients, which start at 1 and are trained with it.

    A unit's output enters what comes after it through columns of one weight: these are multiplied. For a head that is
    the same as multiplying its attention probabilities.
    """

    def __init__(self, module: torch.nn.Module, groups: Mapping[str, Units]) -> None:
        super().__init__()
        self.module = module
        self._columns = [group.places[-1] for group in groups.values()]
        device = next(module.parameters()).device
        self.coefficients = torch.nn.ParameterList(torch.ones(group.count, device=device) for group in groups.values())

    def forward(self, inputs: Inputs) -> torch.Tensor:
        weights = {
            place.tensor: self.module.get_parameter(place.tensor) * along_columns(place, coefficients)
            for place, coefficients in zip(self._columns, self.coefficients, strict=True)
        }
        return torch.func.functional_call(self.module, weights, (inputs,))


def along_columns(place: Place, coefficients: torch.Tensor) -> torch.Tensor:
    """A coefficient per unit, (U,), as a factor per column."""
    return coefficients.repeat_interleave(place.each).repeat(place.times)
