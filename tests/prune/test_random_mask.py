"""Densities of the layers of random masks against their definition, and exact counts."""

import math
from pathlib import Path

import numpy as np
import pytest
from pruning import method, problem
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.networks.conv import Conv
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.mlp import Mlp
from lth_runner.prune.random_mask import PROPORTIONS, counts, layer_densities

LENET = Mlp(inputs=784, hidden=[300, 100], outputs=10, biases=True)
CONV = Conv(channels=1, side=28, convolutions=((64, 64),), hidden=(256, 256), outputs=10, biases=True)
SHAPES = {
    name: {key: shape for key, shape in parameter_shapes(network).items() if len(shape) > 1}
    for name, network in (("lenet", LENET), ("conv", CONV))
}
DENSITIES = (0.0, 0.001, 0.01, 0.0361, 0.21, 0.5, 0.9, 1.0)


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("kind", PROPORTIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_densities_are_in_proportion_and_none_is_above_1(name: str, kind: str, density: float) -> None:
    """min(1, s raw) with the one s that keeps as many as asked for, found by bisection."""
    shapes = SHAPES[name]
    raw = {key: PROPORTIONS[kind](shape) for key, shape in shapes.items()}
    total = sum(map(math.prod, shapes.values()))

    def share(scale: float) -> float:
        return sum(min(1.0, scale * raw[key]) * math.prod(shape) for key, shape in shapes.items()) / total

    low, high = 0.0, 2 / min(raw.values())
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < density else (low, middle)
    found = layer_densities(shapes, density, kind)
    assert found == pytest.approx({key: min(1.0, high * raw[key]) for key in shapes}, abs=1e-12)


def test_proportions_are_those_of_the_papers() -> None:
    assert PROPORTIONS["er"]((100, 300)) == pytest.approx(400 / 30_000)
    assert PROPORTIONS["er"]((64, 32, 3, 3)) == pytest.approx(96 / 2048)
    assert PROPORTIONS["erk"]((64, 32, 3, 3)) == pytest.approx((64 + 32 + 3 + 3) / (64 * 32 * 9))
    for density in DENSITIES:
        assert layer_densities(SHAPES["lenet"], density, "er") == layer_densities(SHAPES["lenet"], density, "erk")


def test_erdos_renyi_of_lenet_keeps_the_output_layer_whole_first() -> None:
    found = layer_densities(SHAPES["lenet"], 0.21, "er")
    assert found["fc3.weight"] == 1.0
    ratio = (400 / 30_000) / (1084 / 235_200)
    assert found["fc2.weight"] / found["fc1.weight"] == pytest.approx(ratio)


@pytest.mark.parametrize("kind", PROPORTIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_counts_add_up_exactly_and_lie_within_one_of_the_densities(name: str, kind: str) -> None:
    shapes = SHAPES[name]
    sizes = {key: math.prod(shape) for key, shape in shapes.items()}
    for density in (*DENSITIES, 0.333, 0.07, 0.9999):
        each = layer_densities(shapes, density, kind)
        found = counts(each, shapes, density)
        assert sum(found.values()) == round(density * sum(sizes.values()))
        for key, size in sizes.items():
            assert 0 <= found[key] <= size
            assert abs(found[key] - each[key] * size) <= 1


def test_places_are_chosen_by_the_seed_and_uniformly(tmp_path: Path) -> None:
    built = method("random_mask", layer_densities="uniform")
    found = [
        next(iter(built.masks(built.trainings(problem(seed), Memory(tmp_path)), 0.25).values())) for seed in range(40)
    ]
    assert all(mask.sum() == 180 for mask in found)
    share = np.mean(found, axis=0)
    # a count of 40 chances of a quarter, 720 of them: beyond 26 with probability 720 * 1.4e-6
    assert share.max() < 27 / 40 and not (found[0] == found[1]).all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="layer_densities must be one of uniform, er, erk"):
        method("random_mask", layer_densities="erdos")
