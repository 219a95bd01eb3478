"""Modules of many kinds, small, and batches for each: what a search must take as it is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Residual(nn.Module):
    """Convolutions (strided, grouped, dilated) with batch norms around a shortcut, a group norm and an average."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2, bias=False)
        self.last = nn.GroupNorm(2, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(self.stem(x)).relu()
        x = (x + self.norm2(self.inner(x))).relu()
        return self.head(self.last(x).mean((2, 3)))


class Attention(nn.Module):
    """Tokens, positions, a torch encoder layer with its packed projection, and a head tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.position = nn.Parameter(torch.zeros(1, 5, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 12, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.encoder(self.embedding(tokens) + self.position)).mean(1))


class OwnLayer(nn.Module):
    """A parameter of its own, used by hand, with a bias and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(36, 10))
        self.own_bias = nn.Parameter(torch.zeros(10))
        self.scale = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * (x.flatten(1) @ self.matrix + self.own_bias)


class Keywords(nn.Module):
    """Named inputs: the mean embedding of the tokens that a mask marks, and an object around the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(12, 8), nn.Linear(8, 10)

    def forward(self, *, ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        weight = attention_mask / attention_mask.sum(1, keepdim=True)
        return {"logits": self.head((self.embedding(ids) * weight[..., None]).sum(1))}


MODULES: dict[str, Callable[[], nn.Module]] = {"residual": Residual, "attention": Attention, "own": OwnLayer}


def inputs_of(build: Any, count: int = 4, size: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Some batches."""
    generator = torch.Generator().manual_seed(0)
    if build is Attention:
        draw = [torch.randint(0, 12, (size, 5), generator=generator) for _ in range(count)]
    else:
        draw = [torch.randn(size, 1, 6, 6, generator=generator) for _ in range(count)]
    return [(inputs, torch.arange(size) % 10) for inputs in draw]
