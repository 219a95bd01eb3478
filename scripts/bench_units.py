"""Steps of tickets whose masks empty whole units, for `bench_imp.py`: the masked network and the one without them.

The networks, batches and optimizers of experiment=early_bird and experiment=early_bert, and a VGG four times as wide;
random images, and random units of every group.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch

from lth_runner.core.streams import Streams
from lth_runner.networks.vgg import VGG
from lth_runner.networks.vit import ViT
from lth_runner.prune.channels import channels
from lth_runner.prune.smaller import smaller
from lth_runner.prune.transformer_units import heads, hidden_neurons
from lth_runner.prune.units import masks
from lth_runner.training.loop import Batches
from lth_runner.training.loss import classification
from lth_runner.training.recipe import Recipe
from lth_runner.training.training import Training

IMAGES, CHECKED_STEPS = 1920, 3
SGD = Recipe(
    length="50000it", batch=64, learning_rate=0.1, optimizer="SGD", momentum=0.9, weight_decay=5e-4,
    optimizer_arguments=None, schedule="constant", schedule_arguments=None, schedule_unit="step",
)  # fmt: skip
ADAM = Recipe(
    length="50000it", batch=60, learning_rate=1.2e-3, optimizer="Adam", momentum=0.0, weight_decay=0.0,
    optimizer_arguments=None, schedule="constant", schedule_arguments=None, schedule_unit="step",
)  # fmt: skip
BIRD = VGG(channels=1, convolutions=((16, 16), (32, 32)), outputs=10, batch_norm=True)
WIDE = VGG(channels=1, convolutions=((64, 64), (128, 128)), outputs=10, batch_norm=True)
BERT = ViT(channels=1, side=28, patch=7, width=60, heads=6, depth=2, hidden=256, outputs=10, class_token=True)
TICKETS: list[tuple[str, Any, int, Recipe, float, float]] = [  # name, network, side, recipe, channels or neurons, heads
    ("VGG of 16 and 32 channels, 30 % of them", BIRD, 14, SGD, 0.3, 1.0),
    ("VGG of 16 and 32 channels, 50 %", BIRD, 14, SGD, 0.5, 1.0),
    ("VGG of 64 and 128 channels, 30 %", WIDE, 14, SGD, 0.3, 1.0),
    ("VGG of 64 and 128 channels, 50 %", WIDE, 14, SGD, 0.5, 1.0),
    ("ViT, 60 % of its neurons and 4 of 6 heads", BERT, 28, ADAM, 0.6, 4 / 6),
]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A ticket's step on the whole network with masks, and without its empty units; left: share of the parameters."""

    name: str
    left: float
    masked: Callable[[], float]
    smaller: Callable[[], float]


def pairs(recorder: Any) -> Iterator[Pair]:
    """Every ticket's two steps, which were seen to give the same losses at first."""
    for name, network, side, recipe, share, share_of_heads in TICKETS:
        given = masks_of(network, share, share_of_heads)
        draws = torch.Generator().manual_seed(0)
        images, labels = torch.rand(IMAGES, 1, side, side, generator=draws), torch.arange(IMAGES) % 10
        batches = Batches(
            inputs=images, labels=labels, size=recipe.batch, streams=Streams(0), purpose="bench", augment=None
        )
        less = smaller(network, module_of(network), given, recipe, images)
        assert less is not None, name
        masked, compact = (
            steps(Training(module.train(), batches, recipe, kept, None, classification, recorder), batches)
            for module, kept in ((module_of(network), given), (less.module, less.masks(given)))
        )
        for _ in range(CHECKED_STEPS):
            losses = next(masked), next(compact)
            assert abs(losses[0] - losses[1]) < 1e-3 * losses[0], losses
        yield Pair(name=name, left=less.share, masked=partial(next, masked), smaller=partial(next, compact))


def steps(training: Training, batches: Batches) -> Iterator[float]:
    """The loss before each of endless steps."""
    for epoch in count():
        for step, images, labels in batches.epoch(epoch, range(batches.per_epoch)):
            yield float(training.update(images, labels, step))


def module_of(network: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return network.module()


def masks_of(network: Any, share: float, share_of_heads: float) -> dict[str, torch.Tensor]:
    """Random units of every group."""
    attentions, draws = heads(network), np.random.default_rng(0)
    groups = {**channels(network), **attentions, **hidden_neurons(network)}
    kept = {}
    for name, group in groups.items():
        number = round(group.count * (share_of_heads if name in attentions else share))
        kept[name] = draws.permutation(np.arange(group.count) < number)
    shapes = {name: tuple(parameter.shape) for name, parameter in module_of(network).named_parameters()}
    dense = {name: np.broadcast_to(mask, shapes[name]) for name, mask in masks(groups, kept, shapes).items()}
    return {name: torch.from_numpy(mask.copy()) for name, mask in dense.items()}
