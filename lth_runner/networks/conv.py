"""Conv-2, Conv-4 and Conv-6 of the lottery papers: pairs of convolutions with max-pooling, then three linear layers."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError


def convolutions(stages: Sequence[Sequence[int]], channels: int, bias: bool, norm: bool) -> OrderedDict[str, Any]:
    """3x3 convolutions conv1, conv2, ... that keep height and width, each with a ReLU; a 2x2 max-pool ends each stage.

    Args:
        stages: output channels of the convolutions, stage by stage.
        channels: of the images.
        bias: whether the convolutions have biases.
        norm: whether a batch norm stands before each ReLU.
    """
    layers: OrderedDict[str, Any] = OrderedDict()
    number = 0
    for stage, widths in enumerate(stages, start=1):
        for width in widths:
            number += 1
            layers[f"conv{number}"] = torch.nn.Conv2d(channels, width, 3, padding=1, bias=bias)
            if norm:
                layers[f"bn{number}"] = torch.nn.BatchNorm2d(width)
            layers[f"conv_relu{number}"] = torch.nn.ReLU()
            channels = width
        layers[f"pool{stage}"] = torch.nn.MaxPool2d(2)
    return layers


def check_stages(name: str, stages: Any) -> None:
    """Refuses anything but a list of lists of widths, none of them empty."""
    if not isinstance(stages, list | tuple) or not stages:
        raise ConfigError(f"{name} must be a list of lists of widths, such as [[64, 64]], got {stages!r}")
    for widths in stages:
        check_widths(name, widths)


def check_widths(name: str, widths: Any) -> None:
    """Refuses anything but a list of at least one width."""
    if not isinstance(widths, list | tuple) or not widths:
        raise ConfigError(f"{name} must have at least one width in each list, got {widths!r}")
    for width in widths:
        checks.integer(name, width, at_least=1)


@dataclass(frozen=True, kw_only=True)
class Conv:
    """3x3 convolutions in stages that end with 2x2 max-pooling, then linear layers, with ReLU between them.

    Attributes:
        channels: of the images.
        side: height and width of the images; each stage halves it, rounded down.
        convolutions: output channels, stage by stage: [[64, 64], [128, 128]] is Conv-4.
        hidden: widths of the hidden linear layers.
        outputs: number of classes.
        biases: whether all layers have biases.

    Reference: arXiv:1803.03635, Figure 2. Differs from the paper: it counts 1.7M weights for Conv-6, while the layers
    that it lists have 2.26M on 32 x 32 images; Conv-2 and Conv-4 agree.
    """

    kind: ClassVar[str] = "conv"

    channels: int
    side: int
    convolutions: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]
    outputs: int
    biases: bool

    def __post_init__(self) -> None:
        check_stages("network.convolutions", self.convolutions)
        check_widths("network.hidden", self.hidden)
        checks.integer("network.channels", self.channels, at_least=1)
        checks.integer("network.side", self.side, at_least=2 ** len(self.convolutions))
        checks.integer("network.outputs", self.outputs, at_least=1)
        checks.boolean("network.biases", self.biases)

    def widths(self) -> list[int]:
        """Sizes of the linear part: features, hidden layers, output."""
        side = self.side // 2 ** len(self.convolutions)
        return [self.convolutions[-1][-1] * side**2, *self.hidden, self.outputs]

    def module(self) -> torch.nn.Module:
        layers = convolutions(self.convolutions, self.channels, self.biases, norm=False)
        layers["flatten"] = torch.nn.Flatten()
        widths = self.widths()
        for i in range(1, len(widths)):
            if i > 1:
                layers[f"relu{i - 1}"] = torch.nn.ReLU()
            layers[f"fc{i}"] = torch.nn.Linear(widths[i - 1], widths[i], bias=self.biases)
        return torch.nn.Sequential(layers)
