"""The structure of the paper's Experiment 2: every linear layer becomes two, the first with one edge per unit."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.networks.interface import MAX_DEPTH


class RedundantLinear(torch.nn.Module):
    """f(x) = W2 act(w1 * (x, ..., x)): r scaled copies of the input, then a linear layer on all of them.

    `weight1` is (r, in): unit (k, i) sees input i alone. `weight2` is (out, r * in). act is ReLU or nothing.
    """

    def __init__(self, inputs: int, outputs: int, redundancy: int, relu: bool) -> None:
        super().__init__()
        self.inputs, self.relu = inputs, relu
        self.weight1 = torch.nn.Parameter(torch.zeros(redundancy, inputs))
        self.weight2 = torch.nn.Parameter(torch.zeros(outputs, redundancy * inputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = (x[:, None] * self.weight1).flatten(1)  # (B, r * in)
        return torch.nn.functional.linear(hidden.relu() if self.relu else hidden, self.weight2)


def signs(weight1: torch.Tensor, relu: bool) -> torch.Tensor:
    """(branches, *weight1.shape): which branch of the input a copy listens to, and with which sign.

    One branch, x itself, without ReLU. With it two, relu(x) and relu(-x), since relu(w x) = relu(w) relu(x) +
    relu(-w) relu(-x): positive weights listen to the first, negative ones to the second, zeros to none.
    """
    return torch.stack(((weight1 > 0).float(), -(weight1 < 0).float())) if relu else torch.ones_like(weight1)[None]


def fold(weight1: torch.Tensor, weight2: torch.Tensor, relu: bool) -> torch.Tensor:
    """The one matrix (out, branches * in) that, applied to `branches(x)`, is the redundant layer; differentiable.

    It is the same function, and up to r times less arithmetic: nothing stands between the copies and their sum but a
    ReLU, which is linear on each branch. Leading axes (runs) pass through.
    """
    factors = signs(weight1, relu) * weight1  # (branches, ..., r, in)
    split = weight2.unflatten(-1, weight1.shape[-2:])  # (..., out, r, in)
    return torch.cat([(factor.unsqueeze(-3) * split).sum(-2) for factor in factors], dim=-1)


def branches(x: torch.Tensor, relu: bool) -> torch.Tensor:
    """The input of a folded layer: x itself, or its positive and negative part side by side."""
    return torch.cat((x.relu(), (-x).relu()), dim=-1) if relu else x


def linear_layers(widths: Sequence[int], redundancy: int, relu: bool) -> "OrderedDict[str, torch.nn.Module]":
    """Redundant layers fc1, fc2, ... of the given widths with ReLU between them; plain ones if the redundancy is 0."""
    layers: OrderedDict[str, torch.nn.Module] = OrderedDict()
    for i in range(1, len(widths)):
        if i > 1:
            layers[f"relu{i - 1}"] = torch.nn.ReLU()
        if redundancy:
            layers[f"fc{i}"] = RedundantLinear(widths[i - 1], widths[i], redundancy, relu)
        else:
            layers[f"fc{i}"] = torch.nn.Linear(widths[i - 1], widths[i], bias=False)
    return layers


@dataclass(frozen=True, kw_only=True)
class RedundantFullyConnected:
    """A fully connected ReLU network of redundant layers, without biases.

    Attributes:
        inputs: numbers per image, flattened.
        hidden: width of every hidden layer of the network it stands for.
        outputs: number of classes.
        depth: number of redundant layers.
        redundancy: copies of every input of a layer.
        relu: whether the copies pass a ReLU ("our structure, ReLU" of the paper) or not ("linear").

    Reference: arXiv:2006.07990, experiments. As in the published code.
    """

    kind: ClassVar[str] = "redundant_fc"
    inputs: int
    hidden: int
    outputs: int
    depth: int
    redundancy: int
    relu: bool

    def __post_init__(self) -> None:
        for name in ("inputs", "hidden", "outputs", "depth", "redundancy"):
            checks.integer(f"network.{name}", getattr(self, name), at_least=1)
        checks.integer("network.depth", self.depth, at_most=MAX_DEPTH)
        checks.boolean("network.relu", self.relu)

    def widths(self) -> list[int]:
        """Sizes of input, hidden layers and output."""
        return [self.inputs, *[self.hidden] * (self.depth - 1), self.outputs]

    def module(self) -> torch.nn.Module:
        layers = linear_layers(self.widths(), self.redundancy, self.relu)
        return torch.nn.Sequential(OrderedDict(flatten=torch.nn.Flatten(), **layers))
