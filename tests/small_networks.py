"""One tiny network of every kind that a method may meet, and inputs for it: 16 wide, 2 blocks, 8 x 8 pixels at most."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lth_runner.data.interface import Dataset, Inputs, select
from lth_runner.networks.calling import adapted
from lth_runner.networks.conv import Conv
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.imported import Imported
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import Architecture, tensors_of
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.networks.resnet import ResNet
from lth_runner.networks.vit import ViT

SIDE, CLASSES, TOKENS, LENGTH = 8, 4, 11, 6


class Convolutions(nn.Module):
    """A grouped, a dilated, a depthwise and a strided convolution around a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.grouped = nn.Conv2d(width, width, 3, padding=1, groups=2)
        self.dilated = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.depthwise = nn.Conv2d(width, width, 3, stride=2, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.dilated(torch.relu(self.grouped(x))))
        return self.head(torch.relu(self.norm(self.depthwise(x))).mean((2, 3)))


class Language(nn.Module):
    """Keywords in, a dict out; an embedding, attention with a mask, layer norm, a head tied to the embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, TOKENS, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, *, tokens: torch.Tensor, real: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.embed(tokens)  # (N, T, width)
        mixed, _ = self.attention(x, x, x, key_padding_mask=real == 0, need_weights=False)
        hidden = torch.relu(self.hidden(self.norm(x + mixed)))
        pooled = (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return {"hidden": hidden, "logits": self.head(pooled)}


class TiedLayers(nn.Module):
    """Two linear layers of one weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(SIDE * SIDE, width)
        self.second = nn.Linear(width, width)
        self.third = nn.Linear(width, width)
        self.third.weight = self.second.weight
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x.flatten(1)))
        return self.head(torch.relu(self.third(torch.relu(self.second(x)))))


@dataclass(frozen=True)
class Small:
    """A network and what it takes.

    Attributes:
        make: gives the architecture; an in-memory one is another object each time.
        tokens: whether it takes tokens by name, and not images.
        importable: whether a file can say how it is built.
    """

    make: Callable[[], Architecture]
    tokens: bool = False
    importable: bool = True


def imported(builder: str, width: int, output: str | None = None) -> Imported:
    return Imported(builder=f"small_networks.{builder}", arguments={"width": width}, output=output, pool="none")


def in_memory() -> Instance:
    torch.manual_seed(0)
    return Instance.of(adapted(Language(8), "logits"), "logits")


FC = FullyConnected(inputs=SIDE * SIDE, hidden=8, outputs=CLASSES, depth=2, biases=True)
SMALL: dict[str, Small] = {
    "fc": Small(lambda: FC),
    "fc4": Small(lambda: FullyConnected(inputs=SIDE * SIDE, hidden=6, outputs=CLASSES, depth=4, biases=False)),
    "conv": Small(
        lambda: Conv(
            channels=1, side=SIDE, convolutions=((4,), (4,)), hidden=(8,), outputs=CLASSES, biases=True
        )
    ),
    "redundant_fc": Small(
        lambda: RedundantFullyConnected(
            inputs=SIDE * SIDE, hidden=4, outputs=CLASSES, depth=2, redundancy=2, relu=True
        )
    ),
    "resnet": Small(lambda: ResNet(channels=1, width=2, blocks=1, outputs=CLASSES, shortcut="projection")),
    "vit": Small(
        lambda: ViT(
            channels=1, side=SIDE, patch=4, width=8, heads=2, depth=1, hidden=8, outputs=CLASSES, class_token=True
        )
    ),
    "convolutions": Small(lambda: imported("Convolutions", 4)),
    "language": Small(lambda: imported("Language", 8, "logits"), tokens=True),
    "in_memory": Small(in_memory, tokens=True, importable=False),
    "tied_layers": Small(lambda: imported("TiedLayers", 6)),
}  # fmt: skip


def inputs(small: Small, count: int, seed: int = 0) -> Inputs:
    """Samples of what the network takes; pixels lie in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    if not small.tokens:
        return torch.rand(count, 1, SIDE, SIDE, generator=generator)
    real = torch.ones(count, LENGTH, dtype=torch.int64)
    real[::2, LENGTH // 2 :] = 0
    return {"tokens": torch.randint(TOKENS, (count, LENGTH), generator=generator), "real": real}


def dataset(small: Small) -> Dataset:
    """Training and test samples with labels of chance."""
    samples = inputs(small, 48)
    truth = torch.randint(CLASSES, (48,), generator=torch.Generator().manual_seed(1))
    return Dataset(
        name="small",
        train_inputs=select(samples, slice(0, 32)),
        train_labels=truth[:32],
        test_inputs=select(samples, slice(32, 48)),
        test_labels=truth[32:],
        mask="real" if small.tokens else None,
    )


def target(small: Small, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that nobody trained, with norms whose statistics and factors are not those of a fresh module."""
    torch.manual_seed(seed)
    module = small.make().module()
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
        else:
            nn.init.normal_(parameter, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=0.1)
    module.train()(inputs(small, 32))
    return {name: exact(tensor) for name, tensor in tensors_of(module).items()}


def exact(tensor: torch.Tensor) -> Any:
    array = tensor.detach().numpy()
    return array.astype(np.float64) if array.dtype.kind == "f" else array.copy()
