"""Activation functions: what is said of each is true, and tight; ReLUs of a network are replaced by them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lth_runner.core.errors import ConfigError
from lth_runner.networks.activated import Activated
from lth_runner.networks.activations import (
    RELU,
    Activation,
    Gelu,
    LeakyRelu,
    PiecewiseLinear,
    Sigmoid,
    Silu,
    Tanh,
    activation_of,
)
from lth_runner.networks.conv import Conv
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.layers import weight_layers

EVERY = [RELU, LeakyRelu(slope=0.2), LeakyRelu(slope=1.0), LeakyRelu(slope=3.0), Tanh(), Sigmoid(), Gelu(), Silu()]
GRID = torch.cat([torch.linspace(-30, 30, 60_001), torch.logspace(-6, 0, 601), -torch.logspace(-6, 0, 601)]).double()


@pytest.mark.parametrize("activation", EVERY, ids=repr)
def test_what_is_said_of_it_holds_everywhere(activation: Activation) -> None:
    known, z = activation.behaviour(), GRID.clone().requires_grad_()
    phi = activation.module()(z)
    (slope,) = torch.autograd.grad(phi.sum(), z)
    assert float(slope.abs().max()) <= known.lipschitz * (1 + 1e-12)
    assert float(phi.detach().abs().max()) <= known.largest
    assert float(activation.module()(torch.zeros(1, dtype=torch.float64))) == known.at_zero
    with torch.no_grad():
        apart = (phi - PiecewiseLinear(known)(z)).abs()
    assert bool((apart <= known.curvature * GRID.abs() ** known.order * (1 + 1e-9) + 2e-16).all())


@pytest.mark.parametrize("activation", EVERY, ids=repr)
def test_and_less_cannot_be_said(activation: Activation) -> None:
    """Curvature and the slopes are those of the limit at zero, the Lipschitz constant is reached within 1e-5."""
    known, z = activation.behaviour(), GRID.clone().requires_grad_()
    phi = activation.module()
    near = torch.tensor([-1e-3, 1e-3], dtype=torch.float64)
    slopes = (phi(near) - known.at_zero) / near
    np.testing.assert_allclose(slopes, [known.negative, known.positive], atol=1e-3)
    apart = (phi(near) - PiecewiseLinear(known)(near)).abs() / 1e-3**known.order
    np.testing.assert_allclose(apart, known.curvature, rtol=1e-3, atol=1e-9)
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    assert float(slope.abs().max()) == pytest.approx(known.lipschitz, abs=1e-5)


@pytest.mark.parametrize("activation", EVERY, ids=repr)
def test_a_layer_of_torch_is_recognised(activation: Activation) -> None:
    assert activation_of(activation.module()) == activation


@pytest.mark.parametrize("part", [nn.GELU("tanh"), nn.LeakyReLU(-0.1), nn.Softplus(), nn.Linear(1, 1), nn.ReLU6()])
def test_what_is_not_known_is_not_guessed(part: nn.Module) -> None:
    assert activation_of(part) is None


def test_a_negative_slope_is_refused() -> None:
    for slope in (-0.1, math.inf):
        with pytest.raises(ConfigError, match=r"activation\.slope must be"):
            LeakyRelu(slope=slope)


@pytest.mark.parametrize("activation", EVERY, ids=repr)
def test_relus_are_replaced_where_they_stand(activation: Activation) -> None:
    plain = Conv(channels=1, side=8, convolutions=((4,), (4,)), hidden=(8,), outputs=4, biases=True)
    network = Activated(original=plain, activation=activation)
    assert parameter_shapes(network) == parameter_shapes(plain)
    parts = zip(plain.module().modules(), network.module().modules(), strict=True)
    for before, after in parts:
        assert type(after) is (type(activation.module()) if type(before) is nn.ReLU else type(before))
    never = [layer.never_negative for layer in weight_layers(network)]
    assert never[1:] == [activation in (RELU, Sigmoid())] * (len(never) - 1)


def test_a_network_without_relus_is_refused() -> None:
    linear = FullyConnected(inputs=4, hidden=6, outputs=2, depth=1, biases=False)
    with pytest.raises(ConfigError, match=r"FullyConnected has no torch.nn.ReLU that .* choose a network such as fc"):
        Activated(original=linear, activation=Tanh())
