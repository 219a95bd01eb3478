"""VGG for small images, as in the lottery papers: 3x3 convolutions, average pooling and one linear layer."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.networks.conv import check_stages, convolutions


@dataclass(frozen=True, kw_only=True)
class VGG:
    """Stages of 3x3 convolutions with max-pooling between them, then the mean over positions and a linear layer.

    Attributes:
        channels: of the images.
        convolutions: output channels, stage by stage; images need a side of at least 2 to the stages less one.
        outputs: number of classes.
        batch_norm: whether each convolution has a batch norm, and then no bias, which that would cancel.

    Reference: arXiv:1803.03635, Figure 2; 20.0M weights for VGG-19.
    """

    kind: ClassVar[str] = "vgg"

    channels: int
    convolutions: tuple[tuple[int, ...], ...]
    outputs: int
    batch_norm: bool

    def __post_init__(self) -> None:
        check_stages("network.convolutions", self.convolutions)
        checks.integer("network.channels", self.channels, at_least=1)
        checks.integer("network.outputs", self.outputs, at_least=1)
        checks.boolean("network.batch_norm", self.batch_norm)

    def module(self) -> torch.nn.Module:
        layers = convolutions(self.convolutions, self.channels, bias=not self.batch_norm, norm=self.batch_norm)
        layers[f"pool{len(self.convolutions)}"] = torch.nn.AdaptiveAvgPool2d(1)  # instead of the last max-pool
        layers["flatten"] = torch.nn.Flatten()
        layers["fc"] = torch.nn.Linear(self.convolutions[-1][-1], self.outputs)
        return torch.nn.Sequential(layers)
