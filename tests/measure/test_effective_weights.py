"""Effective weights, against the rebuilt layers themselves and against the weights that are read from them."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from plain_choice import PLAIN_PATHS
from recorders import Memory
from small_convolution import SmallConvolution

from lth_runner.construct.pensia import Pensia
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.effective_weights import effective_weights, nearness
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.problem import Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=3, hidden=2, outputs=2, depth=2, biases=False)


@dataclass(frozen=True)
class Grouped:
    """A convolution of two groups."""

    def module(self) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(4, 6, (2, 3), groups=2, bias=False))


def constructed(network: Architecture = NETWORK, n: int = 6) -> Ticket:
    method = Pensia(
        **PLAIN_PATHS,
        stored=[], objective="closest", epsilon=0.01, c=3, n=n, halves="both", signs="reserved", gains="fitted",
        max_paths=24, distribution=Uniform(low=-1.0, high=1.0), solver=MeetInMiddle(),
    )  # fmt: skip
    target = {name: np.random.default_rng(0).normal(0, 0.3, shape) for name, shape in parameter_shapes(network).items()}
    problem = Problem(network=network, target=target, data=None, streams=Streams(0), device="cpu")
    return method.find(problem, Memory()).ticket


def expansion(ticket: Ticket) -> TwoLayerExpansion:
    assert isinstance(ticket.architecture, TwoLayerExpansion)
    return ticket.architecture


def random_masks(ticket: Ticket) -> Ticket:
    rng = np.random.default_rng(1)
    return replace(ticket, masks={name: Mask.pack(rng.random(m.shape) < 0.4) for name, m in ticket.masks.items()})


@pytest.mark.parametrize("network", [NETWORK, SmallConvolution(biases=False)], ids=["linear", "convolutions"])
def test_of_a_construction_they_are_its_weights(network: Architecture) -> None:
    ticket = constructed(network, n=2)
    readings = materialise(ticket).readings
    found = effective_weights(ticket, expansion(ticket))
    assert [f"{name}.weight" for name in found] == list(readings)
    for name, weights in found.items():
        np.testing.assert_allclose(weights, readings[f"{name}.weight"], rtol=0, atol=1e-12)


def test_groups_see_their_own_coordinates() -> None:
    ticket = constructed(Grouped(), n=3)
    (readings,) = materialise(ticket).readings.values()  # (2, 6, 2, 2, 3)
    (weights,) = effective_weights(ticket, expansion(ticket)).values()
    np.testing.assert_allclose(weights[:, :3, :2], readings[:, :3], rtol=0, atol=1e-12)
    np.testing.assert_allclose(weights[:, 3:, 2:], readings[:, 3:], rtol=0, atol=1e-12)
    assert not weights[:, :3, 2:].any() and not weights[:, 3:, :2].any()


def test_whatever_the_masks_they_are_what_a_layer_makes_of_one_input_alone() -> None:
    ticket = random_masks(constructed())
    module = materialise(ticket).module(torch.float64)
    for name, weights in effective_weights(ticket, expansion(ticket)).items():
        layer, ones = module.get_submodule(name), torch.eye(weights.shape[2], dtype=torch.float64)
        for sign, own in zip((1, -1), weights, strict=True):
            np.testing.assert_allclose(own, sign * layer(sign * ones).T.numpy(), rtol=0, atol=1e-12)


def layers(*shapes: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"fc{i}": rng.normal(0, 10.0**i, shape) for i, shape in enumerate(shapes)}


def test_the_size_of_a_layer_is_no_difference() -> None:
    given = layers((1, 4, 3), (1, 2, 4), seed=0)
    near = nearness(given, {name: 7 ** float(i) * weights for i, (name, weights) in enumerate(given.items())})
    assert near.correlation == pytest.approx(1, abs=1e-12)
    assert near.difference == pytest.approx(0, abs=1e-12)


def test_of_opposite_and_of_orthogonal_weights() -> None:
    given = {"fc": np.array([1.0, -1.0, 1.0, -1.0])}
    opposite, orthogonal = nearness(given, {"fc": -given["fc"]}), nearness(given, {"fc": np.array([1.0, 1, -1, -1])})
    assert (opposite.correlation, opposite.difference) == (pytest.approx(-1), pytest.approx(2))
    assert (orthogonal.correlation, orthogonal.difference) == (pytest.approx(0), pytest.approx(math.sqrt(2)))


def test_unrelated_weights_are_far() -> None:
    """For 10,000 independent numbers |correlation| < 0.06 with a failure probability below 1e-8."""
    near = nearness(layers((100, 100), seed=0), layers((100, 100), seed=1))
    assert near.correlation is not None and near.difference is not None
    assert abs(near.correlation) < 0.06
    assert near.difference == pytest.approx(math.sqrt(2), rel=0.05)


def test_correlation_is_pearsons() -> None:
    given, other = layers((5, 4), seed=0), layers((5, 4), seed=1)
    expected = np.corrcoef(given["fc0"].ravel(), other["fc0"].ravel())[0, 1]
    assert nearness(given, other).correlation == pytest.approx(expected)


def test_nothing_kept_is_no_correlation() -> None:
    given = layers((5, 4), seed=0)
    near = nearness(given, {"fc0": np.zeros((5, 4))})
    assert (near.correlation, near.difference) == (None, pytest.approx(1))
    assert nearness({"fc0": np.zeros((5, 4))}, given).difference is None
