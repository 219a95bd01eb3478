"""Masked layers: frozen random weights, one trainable score each, and the mask that the scores choose."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.redundant import RedundantLinear, branches, fold
from lth_runner.search.top_fraction import kept_count, top_mask

SCOPES = ("layer", "global")


class _Keep(torch.autograd.Function):
    """The weight where the mask is True, else 0; backwards the mask counts as |score| itself."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight, scores)
        return torch.where(mask, weight, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        weight, scores = ctx.saved_tensors
        return None, gradients[0] * weight * scores.sign(), None


def keep(weight: torch.Tensor, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The masked weight with the straight-through gradient: every score gets one, its weight kept or not.

    dL/dscore = dL/dout * weight * sign(score). The mask looks at |score|, so what would make the weight's presence
    useful must make |score| grow: the published code lets autograd put the sign there. At a score of 0 it is 0.
    """
    return cast(torch.Tensor, _Keep.apply(weight, scores, mask))


class MaskedWeight(torch.nn.Module):
    """A frozen weight and its scores. Calling it gives the weight where the mask keeps it, 0 elsewhere.

    In a masked network its path is the name of the weight in the plain one ("fc1.weight").
    """

    weight: torch.Tensor

    def __init__(self, weight: torch.Tensor, scores: torch.Tensor) -> None:
        super().__init__()
        if weight.shape != scores.shape:
            raise ValueError(f"a weight of shape {tuple(weight.shape)} has scores of shape {tuple(scores.shape)}")
        self.register_buffer("weight", weight.detach().clone(memory_format=torch.contiguous_format))
        self.scores = torch.nn.Parameter(scores.detach().clone(memory_format=torch.contiguous_format))
        self.group: Group | None = None

    def mask(self) -> torch.Tensor:
        """True = kept."""
        assert self.group is not None, "a masked weight belongs to a group of masked()"
        return self.group.masks()[self.group.weights.index(self)]

    def forward(self) -> torch.Tensor:
        return keep(self.weight, self.scores, self.mask())


@dataclass(frozen=True)
class Group:
    """Weights whose scores compete: one layer's weight, or with `scope: global` all of them.

    Attributes:
        weights: in the order of the forward pass, in which ties are broken too.
        density: kept / total.
    """

    weights: tuple[MaskedWeight, ...]
    density: float

    def kept(self) -> int:
        """Weights that the masks of this group keep together."""
        return kept_count(self.density, sum(weight.scores.numel() for weight in self.weights))

    def masks(self) -> list[torch.Tensor]:
        """One mask per weight."""
        scores = [weight.scores.detach() for weight in self.weights]
        flat = top_mask(torch.cat([score.flatten() for score in scores]), self.kept())
        parts = flat.split([score.numel() for score in scores])
        return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]


class MaskedLinear(torch.nn.Module):
    """`torch.nn.Linear` with a masked weight and a frozen bias.

    Attributes:
        held: the masked weight, kept up to date by whoever trains the scores; None: worked out in every forward pass.
            With a leading axis it holds the weights of several runs.
    """

    bias: torch.Tensor | None

    def __init__(self, layer: torch.nn.Linear, scores: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.weight = MaskedWeight(layer.weight, scores["weight"])
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())
        self.held: torch.Tensor | None = None

    def effective(self) -> torch.Tensor:
        """The weight this layer multiplies by, differentiable in the scores."""
        return self.weight()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return multiply(x, self.effective() if self.held is None else self.held, self.bias)


class MaskedConv2d(torch.nn.Module):
    """`torch.nn.Conv2d` with a masked weight and a frozen bias; `held` as in `MaskedLinear`, one run only."""

    bias: torch.Tensor | None

    def __init__(self, layer: torch.nn.Conv2d, scores: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        if layer.padding_mode != "zeros":
            raise ConfigError(f"a masked convolution pads with zeros, got padding_mode={layer.padding_mode!r}")
        self.weight = MaskedWeight(layer.weight, scores["weight"])
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())
        self.geometry: Any = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self.held: torch.Tensor | None = None

    def effective(self) -> torch.Tensor:
        """The weight this layer convolves with, differentiable in the scores."""
        return self.weight()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.effective() if self.held is None else self.held
        return torch.nn.functional.conv2d(x, weight, self.bias, *self.geometry)


class MaskedRedundant(torch.nn.Module):
    """`RedundantLinear` with both weights masked, worked out as one folded matrix; `held` is that matrix."""

    def __init__(self, layer: RedundantLinear, scores: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.relu = layer.relu
        self.weight1 = MaskedWeight(layer.weight1, scores["weight1"])
        self.weight2 = MaskedWeight(layer.weight2, scores["weight2"])
        self.held: torch.Tensor | None = None

    def effective(self) -> torch.Tensor:
        """The folded matrix, differentiable in the scores of both weights."""
        return fold(self.weight1(), self.weight2(), self.relu)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return multiply(branches(x, self.relu), self.effective() if self.held is None else self.held, None)


MaskedLayer = MaskedLinear | MaskedConv2d | MaskedRedundant
MASKED: dict[type[torch.nn.Module], Callable[..., MaskedLayer]] = {
    torch.nn.Linear: MaskedLinear,
    torch.nn.Conv2d: MaskedConv2d,
    RedundantLinear: MaskedRedundant,
}


def multiply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x W^T + bias for one run, (B, in) and (out, in), or for R runs, (B, in) or (R, B, in) and (R, out, in)."""
    if weight.ndim == 2:
        return torch.nn.functional.linear(x, weight, bias)
    y = torch.matmul(x, weight.mT)  # (R, B, out)
    return y if bias is None else y + bias


def masked(
    module: torch.nn.Module, scores: Mapping[str, torch.Tensor], density: float | Mapping[str, float], scope: str
) -> torch.nn.Module:
    """A copy of the network with its weights frozen and those that have scores masked.

    Args:
        module: any module whose Linear, Conv2d and RedundantLinear layers carry the random weights.
        scores: first scores by weight name ("fc1.weight"); layers without scores stay as they are, frozen.
        density: kept / total, of each weight or with scope global of all together; of each weight by its name.
        scope: "layer" or "global".

    Raises:
        ConfigError: a name is not a weight that can be masked, or only part of a layer has scores.
    """
    checks.choice("scope", scope, SCOPES)
    if isinstance(density, Mapping) and (scope == "global" or density.keys() != scores.keys()):
        raise ConfigError("densities by name go with scope=layer and name every weight that has scores, and no other")
    for each in density.values() if isinstance(density, Mapping) else [density]:
        checks.fraction("density", each)
    network = copy.deepcopy(module).requires_grad_(False)
    for name, layer in list(network.named_modules()):
        own = {key.removeprefix(f"{name}."): value for key, value in scores.items() if key.rpartition(".")[0] == name}
        if own and type(layer) in MASKED:
            if missing := {key for key, _ in layer.named_parameters() if key.startswith("weight")} - own.keys():
                raise ConfigError(f"layer {name} needs scores for {', '.join(sorted(missing))} too")
            replacement = MASKED[type(layer)](layer, own)
            network = replacement if not name else network
            if name:
                parent, _, child = name.rpartition(".")
                setattr(network.get_submodule(parent), child, replacement)
    weights = masked_weights(network)
    if unknown := scores.keys() - weights.keys():
        raise ConfigError(f"no layer to mask is named {', '.join(sorted(unknown))}: remove its scores")
    if isinstance(density, Mapping):
        groups = [Group((weight,), density[name]) for name, weight in weights.items()]
    else:
        members = [tuple(weights.values())] if scope == "global" else [(weight,) for weight in weights.values()]
        groups = [Group(together, density) for together in members]
    for group in groups:
        for weight in group.weights:
            weight.group = group
    return network


def masked_weights(network: torch.nn.Module) -> dict[str, MaskedWeight]:
    """The masked weights by name, in the order of the forward pass."""
    return {name: part for name, part in network.named_modules() if isinstance(part, MaskedWeight)}


def masked_layers(network: torch.nn.Module) -> list[MaskedLayer]:
    """The layers that hold them."""
    return [part for part in network.modules() if isinstance(part, MaskedLayer)]
