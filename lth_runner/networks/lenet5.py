"""LeNet-5, with or without biases: two convolutions, then three linear layers, 400-120-84-10 in the paper."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.redundant import linear_layers

FEATURES = 400  # 16 maps of 5 x 5 out of a 28 x 28 image


@dataclass(frozen=True, kw_only=True)
class LeNet5:
    """LeNet-5 for 28 x 28 images of one channel, with ReLU and max-pooling.

    Attributes:
        hidden: widths of the hidden linear layers.
        outputs: number of classes.
        redundancy: copies of every input of the linear layers, as in `RedundantFullyConnected`; 0 for plain layers.
        relu: whether those copies pass a ReLU.
        biases: whether all five layers have biases; only without redundancy.

    Reference: arXiv:2006.07990, experiments. The published code prunes the linear layers alone: its convolutions are
    frozen at torch's first values.
    """

    kind: ClassVar[str] = "lenet5"
    hidden: tuple[int, ...]
    outputs: int
    redundancy: int
    relu: bool
    biases: bool

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, list | tuple) or not self.hidden:
            raise ConfigError(f"network.hidden must be a list of widths, got {self.hidden!r}")
        for width in self.hidden:
            checks.integer("network.hidden", width, at_least=1)
        checks.integer("network.outputs", self.outputs, at_least=1)
        checks.integer("network.redundancy", self.redundancy, at_least=0)
        checks.boolean("network.relu", self.relu)
        checks.boolean("network.biases", self.biases)
        if self.biases and self.redundancy:
            raise ConfigError("network.biases=true goes with network.redundancy=0 only: redundant layers have none")

    def widths(self) -> list[int]:
        """Sizes of the linear part: features, hidden layers, output."""
        return [FEATURES, *self.hidden, self.outputs]

    def module(self) -> torch.nn.Module:
        features = OrderedDict(
            conv1=torch.nn.Conv2d(1, 6, 5, padding=2, bias=self.biases),
            conv_relu1=torch.nn.ReLU(),
            pool1=torch.nn.MaxPool2d(2),
            conv2=torch.nn.Conv2d(6, 16, 5, bias=self.biases),
            conv_relu2=torch.nn.ReLU(),
            pool2=torch.nn.MaxPool2d(2),
            flatten=torch.nn.Flatten(),
        )
        linear = linear_layers(self.widths(), self.redundancy, self.relu)
        if self.biases:
            widths = self.widths()
            linear |= {f"fc{i}": torch.nn.Linear(widths[i - 1], widths[i]) for i in range(1, len(widths))}
        return torch.nn.Sequential(OrderedDict(features, **linear))
