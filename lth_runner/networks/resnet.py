"""Residual networks for small images with batch norm: ResNet-20 and its deeper and wider kin."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from lth_runner.core import checks

STAGES = 3  # each doubles the channels of the one before and halves height and width


class PaddedShortcut(torch.nn.Module):
    """Every second row and column, with channels of zeros before and behind: a shortcut without weights."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.before, self.behind = more // 2, more - more // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.behind))


class Block(torch.nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), both convolutions 3x3."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: torch.nn.Module) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(outputs)
        self.relu1 = torch.nn.ReLU()
        self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(outputs)
        self.shortcut = shortcut
        self.relu2 = torch.nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(inner)) + self.shortcut(x))


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """One convolution, three stages of residual blocks, the mean over positions and a linear layer: 6 blocks + 2 deep.

    Attributes:
        channels: of the images.
        width: channels of the first stage; the next ones have twice and four times as many.
        blocks: of each stage; 3 for ResNet-20.
        outputs: number of classes.
        shortcut: where a stage changes the shape, "projection" (1x1 convolution and batch norm, option B) or
            "padding" (every second position, zeros for new channels, option A).

    Reference: arXiv:1512.03385, section 4.2. Differs from it with shortcut="projection", as the lottery papers do.
    """

    kind: ClassVar[str] = "resnet"

    channels: int
    width: int
    blocks: int
    outputs: int
    shortcut: str

    def __post_init__(self) -> None:
        for name in ("channels", "width", "blocks", "outputs"):
            checks.integer(f"network.{name}", getattr(self, name), at_least=1)
        checks.choice("network.shortcut", self.shortcut, ("projection", "padding"))

    def module(self) -> torch.nn.Module:
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict(
            conv1=torch.nn.Conv2d(self.channels, self.width, 3, padding=1, bias=False),
            bn1=torch.nn.BatchNorm2d(self.width),
            relu1=torch.nn.ReLU(),
        )
        for stage in range(STAGES):
            layers[f"stage{stage + 1}"] = self._stage(stage)
        layers["pool"] = torch.nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = torch.nn.Flatten()
        layers["fc"] = torch.nn.Linear(self.width * 2 ** (STAGES - 1), self.outputs)
        return torch.nn.Sequential(layers)

    def _stage(self, stage: int) -> torch.nn.Module:
        outputs = self.width * 2**stage
        first = Block(outputs // 2, outputs, 2, self._shortcut(outputs)) if stage else _same(outputs)
        return torch.nn.Sequential(first, *(_same(outputs) for _ in range(self.blocks - 1)))

    def _shortcut(self, outputs: int) -> torch.nn.Module:
        """From half as many channels at twice the height and width."""
        if self.shortcut == "padding":
            return PaddedShortcut(outputs - outputs // 2)
        layers: OrderedDict[str, Any] = OrderedDict(
            conv=torch.nn.Conv2d(outputs // 2, outputs, 1, stride=2, bias=False), bn=torch.nn.BatchNorm2d(outputs)
        )
        return torch.nn.Sequential(layers)


def _same(width: int) -> Block:
    return Block(width, width, 1, torch.nn.Identity())
