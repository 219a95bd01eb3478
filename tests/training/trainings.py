"""A small problem, and trainings of it, for tests of the trainer."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from plain_recipe import PLAIN
from recorders import Memory
from torch import nn

from lth_runner.core.streams import Streams
from lth_runner.data.interface import images as images_of
from lth_runner.data.interface import labels as labels_of
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.training.recipe import Recipe
from lth_runner.training.start import start_
from lth_runner.training.state import State
from lth_runner.training.train import train

DATA = Synthetic(train_count=230, test_count=50, side=6, classes=10, seed=0, noise=0.1).load(lambda line: None)
IMAGES = (images_of(DATA.train_inputs), labels_of(DATA.train_labels))
RECIPE = Recipe(length="3ep", batch=50, learning_rate=0.1, momentum=0.9, weight_decay=0.01, **PLAIN)  # 5 steps an epoch
SMALL = {"learning_rate": 0.01, "momentum": 0.0}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SGD nesterov": {"optimizer_arguments": {"nesterov": True}},
    "RMSprop": {"learning_rate": 0.001, "optimizer_arguments": {"centered": True}},
    "Adam": SMALL | {"optimizer_arguments": {"amsgrad": True}},
    "AdamW": SMALL,
    "NAdam": SMALL,
    "RAdam": SMALL,
    "Adamax": SMALL,
    "Adagrad": SMALL,
    "Adadelta": SMALL,
    "Adafactor": SMALL,
    "ASGD": SMALL,
    "Rprop": SMALL | {"weight_decay": 0.0},
    "Muon": {"learning_rate": 0.01},
}


def recipe_of(name: str) -> Recipe:
    return replace(RECIPE, optimizer=name.split()[0], **OPTIMIZERS[name])


def started(seed: int = 0, biases: bool = True) -> nn.Module:
    module = FullyConnected(inputs=36, hidden=20, outputs=10, depth=2, biases=biases).module()
    start_(module, Streams(seed), "test")
    return module


def rich() -> nn.Module:
    """Buffers, chance in the forward pass, and one weight in two places."""
    torch.manual_seed(5)
    square = nn.Linear(12, 12)
    again = nn.Linear(12, 12)
    again.weight = square.weight
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), square,
        nn.ReLU(), again, nn.ReLU(), nn.Linear(12, 10),
    )  # fmt: skip


def noisy(images: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    return images + torch.from_numpy(generator.normal(0, 0.1, images.shape)).to(images.dtype)


def trained(recipe: Recipe = RECIPE, seed: int = 0, module: nn.Module | None = None, **options: Any) -> State:
    module = started(seed) if module is None else module
    return train(module, IMAGES, recipe, Streams(seed), "test", options.pop("recorder", Memory()), **options)


def same(one: State, other: State) -> bool:
    parts = [(s.parameters, s.buffers, s.optimizer) for s in (one, other)]
    return one.step == other.step and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(*parts, strict=True)
    )
