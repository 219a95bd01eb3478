"""Fully connected ReLU networks: the paper's two- and four-layer nets, 784-500-10 and 784-500-500-500-10."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.networks.interface import MAX_DEPTH


@dataclass(frozen=True, kw_only=True)
class FullyConnected:
    """`depth` linear layers with ReLU between them: f(x) = W_l relu(W_{l-1} ... relu(W_1 x)), as in the paper.

    Attributes:
        inputs: numbers per image, flattened.
        hidden: width of every hidden layer.
        outputs: number of classes.
        depth: number of linear layers; 1 has no hidden layer.
        biases: whether the layers have biases (the paper's have none).
    """

    kind: ClassVar[str] = "fc"
    inputs: int
    hidden: int
    outputs: int
    depth: int
    biases: bool

    def __post_init__(self) -> None:
        for name in ("inputs", "hidden", "outputs", "depth"):
            checks.integer(f"network.{name}", getattr(self, name), at_least=1)
        checks.integer("network.depth", self.depth, at_most=MAX_DEPTH)
        checks.boolean("network.biases", self.biases)

    def widths(self) -> list[int]:
        """Sizes of input, hidden layers and output."""
        return [self.inputs, *[self.hidden] * (self.depth - 1), self.outputs]

    def module(self) -> torch.nn.Module:
        widths = self.widths()
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict(flatten=torch.nn.Flatten())
        for i in range(self.depth):
            if i:
                layers[f"relu{i}"] = torch.nn.ReLU()
            layers[f"fc{i + 1}"] = torch.nn.Linear(widths[i], widths[i + 1], bias=self.biases)
        return torch.nn.Sequential(layers)
