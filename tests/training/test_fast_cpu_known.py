"""Which networks and trainings take steps on kept weights, and which the plain path."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training.sparse_trainings import RECIPE, drawn, is_sparse, plainly, started, training
from training.trainings import IMAGES, noisy

from lth_runner.training.fast_cpu import sparse

pytestmark = pytest.mark.usefixtures("one_thread")


def conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 10))


def hooked() -> nn.Module:
    module = started()
    module.get_submodule("fc2").register_forward_hook(lambda *args: None)
    return module


def fixed() -> nn.Module:
    module = started()
    module.get_parameter("fc2.bias").requires_grad_(False)
    return module


def tied() -> nn.Module:
    square = nn.Linear(36, 36)
    return nn.Sequential(nn.Flatten(), square, nn.ReLU(), square, nn.ReLU(), nn.Linear(36, 10))


def shared_weight() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 10))
    module[3].weight = module[1].weight
    return module


class Scaled(nn.Linear):
    """Computes something else."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


L = nn.Linear
UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.1), L(36, 10)),
    "batch norm": lambda: nn.Sequential(nn.Flatten(), L(36, 20), nn.BatchNorm1d(20), nn.ReLU(), L(20, 10)),
    "another activation": lambda: nn.Sequential(nn.Flatten(), L(36, 20), nn.Tanh(), L(20, 10)),
    "a ReLU at the end": lambda: nn.Sequential(nn.Flatten(), L(36, 10), nn.ReLU()),
    "nothing flattened": lambda: nn.Sequential(nn.Identity(), L(6, 10)),
    "a bias in one layer": lambda: nn.Sequential(nn.Flatten(), L(36, 20, bias=False), nn.ReLU(), L(20, 10)),
    "a layer of another kind": lambda: nn.Sequential(nn.Flatten(), L(36, 20), nn.ReLU(), Scaled(20, 10)),
    "convolutions": conv,
    "a hook": hooked,
    "a fixed bias": fixed,
    "a layer in two places": tied,
    "a weight in two places": shared_weight,
}


def pruned(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.rand(p.shape) < 0.02 for name, p in module.named_parameters() if p.ndim > 1}


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_networks_take_the_plain_path(name: str) -> None:
    module = UNKNOWN[name]()
    assert not is_sparse(training(RECIPE, pruned(module), module))


def test_one_relu_in_two_places_is_known() -> None:
    relu = nn.ReLU()
    module = nn.Sequential(nn.Flatten(), L(36, 20), relu, L(20, 20), relu, L(20, 10))
    assert is_sparse(training(RECIPE, pruned(module), module))


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"optimizer": "RMSprop"}, {}),
        ({"optimizer": "Adam", "optimizer_arguments": {"amsgrad": True}}, {}),
        ({"momentum": 0.9, "optimizer_arguments": {"dampening": 0.1}}, {}),
        ({"optimizer_arguments": {"maximize": True}}, {}),
        ({}, {"loss": plainly}),
        ({}, {"augment": noisy}),
        ({}, {"data": (IMAGES[0], None)}),
        ({}, {"data": (IMAGES[0].double(), IMAGES[1])}),
        ({}, {"data": (IMAGES[0], IMAGES[1] - 1)}),  # as torch reads them, -100 would be left out
        ({}, {"data": (IMAGES[0], torch.eye(10)[IMAGES[1]])}),  # probabilities
        ({}, {"data": ({"images": IMAGES[0]}, IMAGES[1])}),
    ],
    ids=[
        "rmsprop",
        "amsgrad",
        "dampening",
        "maximize",
        "loss",
        "augment",
        "no labels",
        "float64",
        "labels below 0",
        "probabilities",
        "named inputs",
    ],
)
def test_other_trainings_take_the_plain_path(settings: dict[str, Any], options: dict[str, Any]) -> None:
    masks = drawn(0.05, 0.05, 0.05)
    assert is_sparse(training(RECIPE, masks))
    assert not is_sparse(training(replace(RECIPE, **settings), masks, **options))
    assert not is_sparse(training(RECIPE, masks, started().double(), data=(IMAGES[0].double(), IMAGES[1])))
    assert not is_sparse(training(RECIPE, masks | {"fc1.bias": torch.arange(20) > 3}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_takes_the_plain_path() -> None:
    data = IMAGES[0].cuda(), IMAGES[1].cuda()
    assert not is_sparse(training(RECIPE, drawn(0.05, 0.05, 0.05), started().cuda(), data=data))


def test_it_pays_where_few_weights_are_kept() -> None:
    def densities(batch: int) -> list[float]:
        grid = np.linspace(0, 1, 101)
        return [d for d in grid if sparse.pays([torch.arange(1000)[None] < 1000 * d], batch)]

    for batch in (1, 60, 64, 65, 1000):
        assert densities(batch) == list(np.linspace(0, 1, 101)[: len(densities(batch))]), "up to some density"
    assert max(densities(60)) == pytest.approx(0.62)
    assert max(densities(1000)) == pytest.approx(0.34)
    assert not is_sparse(training(RECIPE, {}))
