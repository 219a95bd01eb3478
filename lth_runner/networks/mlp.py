"""Fully connected ReLU networks whose hidden layers differ in width: LeNet-300-100."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch

from lth_runner.core import checks


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Linear layers with ReLU between them.

    Attributes:
        inputs: numbers per image, flattened.
        hidden: widths of the hidden layers, in order; none for a linear network.
        outputs: number of classes.
        biases: whether the layers have biases.
    """

    kind: ClassVar[str] = "mlp"
    inputs: int
    hidden: list[int]
    outputs: int
    biases: bool

    def __post_init__(self) -> None:
        checks.listed("network.hidden", self.hidden)
        for width in (self.inputs, *self.hidden, self.outputs):
            checks.integer("network's width", width, at_least=1)
        checks.boolean("network.biases", self.biases)

    def module(self) -> torch.nn.Module:
        widths = [self.inputs, *self.hidden, self.outputs]
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict(flatten=torch.nn.Flatten())
        for i, (before, after) in enumerate(pairwise(widths)):
            if i:
                layers[f"relu{i}"] = torch.nn.ReLU()
            layers[f"fc{i + 1}"] = torch.nn.Linear(before, after, bias=self.biases)
        return torch.nn.Sequential(layers)
