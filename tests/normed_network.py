"""A network with buffers, and one with a tied weight, as nobody's file of this package has them."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Normed:
    """Batch norm between two layers."""

    hidden: int

    def module(self) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(36, self.hidden, bias=False), nn.BatchNorm1d(self.hidden), nn.ReLU(),
            nn.Linear(self.hidden, 4),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tied:
    """Embeds and reads out by one weight."""

    def module(self) -> nn.Module:
        return TiedModule()


class TiedModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 4, bias=False)
        self.middle = nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(6, 4, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.middle(self.embed(x)) @ self.head.weight
