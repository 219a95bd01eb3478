"""Masks and trainings for tests of steps on kept weights."""

from typing import Any

import torch
from plain_recipe import PLAIN
from recorders import Memory
from torch import nn
from training.trainings import IMAGES

from lth_runner.core.streams import Streams
from lth_runner.networks.fc import FullyConnected
from lth_runner.training.loop import Batches
from lth_runner.training.loss import classification
from lth_runner.training.recipe import Recipe
from lth_runner.training.start import start_
from lth_runner.training.training import Training

RECIPE = Recipe(length="12ep", batch=50, learning_rate=0.1, momentum=0.0, weight_decay=0.0, **PLAIN)  # 60 steps
# With torch's epsilon a gradient that is nothing but rounding decides the direction of a step.
ADAM = {"learning_rate": 0.003, "optimizer": "Adam", "optimizer_arguments": {"eps": 1e-4}}
RECIPES: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SGD momentum": {"momentum": 0.9},
    "SGD momentum, decay": {"momentum": 0.9, "weight_decay": 0.01, "learning_rate": 0.02},
    "SGD nesterov": {"momentum": 0.8, "weight_decay": 0.001, "optimizer_arguments": {"nesterov": True}},
    "Adam": ADAM,
    "Adam decay": ADAM | {"weight_decay": 0.01},
    "Adam other betas": ADAM | {"optimizer_arguments": {"betas": [0.8, 0.95], "eps": 1e-3}},
    "AdamW": ADAM | {"optimizer": "AdamW", "weight_decay": 0.1},
}


def drawn(*densities: float) -> dict[str, torch.Tensor]:
    """Masks of the three layers with these densities."""
    draws = torch.Generator().manual_seed(0)
    shapes = {name: parameter.shape for name, parameter in started().named_parameters() if parameter.ndim == 2}
    pairs = zip(shapes.items(), densities, strict=True)
    return {name: torch.rand(shape, generator=draws) < density for (name, shape), density in pairs}


def started(biases: bool = True) -> nn.Module:
    module = FullyConnected(inputs=36, hidden=20, outputs=10, depth=3, biases=biases).module()
    start_(module, Streams(0), "test")
    return module


def plainly(module: nn.Module, inputs: Any, labels: torch.Tensor | None) -> torch.Tensor:
    """The same loss by another name, which the fast path does not know."""
    return classification(module, inputs, labels)


def training(
    recipe: Recipe, masks: dict[str, torch.Tensor], module: nn.Module | None = None, **options: Any
) -> Training:
    module = started() if module is None else module
    start, loss = options.pop("start", None), options.pop("loss", classification)
    return Training(module, batches(recipe, **options), recipe, masks, start, loss, Memory())


def batches(recipe: Recipe, **options: Any) -> Batches:
    inputs, labels = options.pop("data", IMAGES)
    given: dict[str, Any] = {"size": recipe.batch, "streams": Streams(0), "purpose": "test", "augment": None, **options}
    return Batches(inputs=inputs, labels=labels, **given)


def is_sparse(found: Training) -> bool:
    return found.kind_of_step.startswith("sparse")
