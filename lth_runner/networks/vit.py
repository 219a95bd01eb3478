"""A small vision transformer: patches as tokens, learned positions, pre-norm blocks of attention and GELU layers."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import MAX_DEPTH


class EncoderBlock(torch.nn.Module):
    """x + attention(norm1(x)), then that plus mlp(norm2 of that). Shapes (B, tokens, width)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = torch.nn.LayerNorm(width)
        self.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = torch.nn.LayerNorm(width)
        layers = OrderedDict[str, torch.nn.Module](
            fc1=torch.nn.Linear(width, hidden), gelu=torch.nn.GELU(), fc2=torch.nn.Linear(hidden, width)
        )
        self.mlp = torch.nn.Sequential(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Transformer(torch.nn.Module):
    """The network that `ViT` describes."""

    def __init__(self, settings: "ViT") -> None:
        super().__init__()
        width, tokens = settings.width, (settings.side // settings.patch) ** 2
        self.embed = torch.nn.Conv2d(settings.channels, width, settings.patch, stride=settings.patch)
        self.class_token = torch.nn.Parameter(torch.zeros(1, width)) if settings.class_token else None
        self.positions = torch.nn.Parameter(torch.zeros(tokens + settings.class_token, width))
        blocks = (EncoderBlock(width, settings.heads, settings.hidden) for _ in range(settings.depth))
        self.blocks = torch.nn.Sequential(*blocks)
        self.norm = torch.nn.LayerNorm(width)
        self.head = torch.nn.Linear(width, settings.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)  # (B, patches, width)
        if self.class_token is not None:
            first = self.class_token.expand(tokens.shape[0], 1, -1)
            tokens = torch.cat((first, tokens), dim=1)
        tokens = self.norm(self.blocks(tokens + self.positions))
        return self.head(tokens[:, 0] if self.class_token is not None else tokens.mean(1))


@dataclass(frozen=True, kw_only=True)
class ViT:
    """A pre-norm vision transformer without dropout.

    Attributes:
        channels: of the images.
        side: height and width of the images, a multiple of `patch`.
        patch: height and width of a patch.
        width: numbers per token, a multiple of `heads`.
        heads: of the attention.
        depth: number of blocks.
        hidden: width of the hidden layer of each block.
        outputs: number of classes.
        class_token: whether a token of its own is read out; else the mean over the patches.

    Reference: arXiv:2010.11929. Positions and class token start at 0 here; a training sets all weights.
    """

    kind: ClassVar[str] = "vit"

    channels: int
    side: int
    patch: int
    width: int
    heads: int
    depth: int
    hidden: int
    outputs: int
    class_token: bool

    def __post_init__(self) -> None:
        for name in ("channels", "side", "patch", "width", "heads", "depth", "hidden", "outputs"):
            checks.integer(f"network.{name}", getattr(self, name), at_least=1)
        checks.integer("network.depth", self.depth, at_most=MAX_DEPTH)
        checks.boolean("network.class_token", self.class_token)
        if self.side % self.patch:
            raise ConfigError(f"network.side must be a multiple of network.patch={self.patch}, got {self.side}")
        if self.width % self.heads:
            raise ConfigError(f"network.width must be a multiple of network.heads={self.heads}, got {self.width}")

    def module(self) -> torch.nn.Module:
        return Transformer(self)
