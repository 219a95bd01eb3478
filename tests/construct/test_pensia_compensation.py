"""Pensia whose sums take up each other's errors, as the layers' inputs tell."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from construct.pensias import images, pensia, problem
from plain_choice import PLAIN_PATHS
from recorders import Memory
from small_convolution import SmallConvolution

from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import Dataset
from lth_runner.networks.activations import Activation, LeakyRelu, Sigmoid
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, filled
from lth_runner.problem import Problem
from lth_runner.ticket.file import to_bytes
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.ticket import Ticket


class Grouped(SmallConvolution):
    """A convolution of two groups behind a plain one."""

    def module(self) -> torch.nn.Module:
        first, second = torch.nn.Conv2d(2, 6, 3, padding=1), torch.nn.Conv2d(6, 8, 3, groups=2, bias=False)
        return torch.nn.Sequential(first, torch.nn.ReLU(), second, torch.nn.Flatten(), torch.nn.Linear(288, 3))


def with_inputs(network: Architecture, positive: bool) -> Problem:
    """Correlated inputs, which alone are never negative."""
    posed = problem(network, seed=3, size=0.2)
    shape = images(network, 0).shape[1:]
    rng = np.random.default_rng(3)
    size = int(np.prod(shape))
    x = torch.from_numpy(rng.normal(size=(300, 3)) @ rng.normal(size=(3, size)) + 0.1 * rng.normal(size=(300, size)))
    x = (x.abs() if positive else x).float().reshape(300, *shape)
    data = Dataset(name="correlated", train_inputs=x[:200], train_labels=None, test_inputs=x[200:], test_labels=None)
    return replace(posed, data=data)


def output_error(ticket: Ticket, posed: Problem) -> float:
    """Squared and relative, on test inputs, of the target with one layer's weights replaced, summed over the layers."""
    assert posed.data is not None and posed.network is not None and posed.target is not None
    x = posed.data.test_inputs
    assert isinstance(x, torch.Tensor)
    wanted, total = filled(posed.network, posed.target)(x), 0.0
    for name, readings in materialise(ticket).readings.items():
        found = filled(posed.network, {**posed.target, name: readings.mean(axis=0)})(x)
        total += float((found - wanted).norm() / wanted.norm()) ** 2
    return total


@pytest.mark.parametrize("follow", ["pruned", "target"])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(
    "network",
    [FullyConnected(inputs=8, hidden=30, outputs=4, depth=2, biases=True), Grouped(biases=True)],
    ids=["linear", "convolutions"],
)
def test_compensation_lowers_the_error_of_the_outputs(network: Architecture, positive: bool, follow: str) -> None:
    posed = with_inputs(network, positive)
    settings = replace(PLAIN_PATHS["compensation"], follow=follow)
    plain = pensia(n=8, halves="positive", gains="matched")
    aware = replace(plain, compensate="inputs", compensation=settings)
    first, found = plain.find(posed, Memory()).ticket, aware.find(posed, Memory()).ticket
    assert output_error(found, posed) < 0.8 * output_error(first, posed)
    assert (found.drawn(), found.offered()) == (first.drawn(), first.offered())
    assert to_bytes(found) == to_bytes(aware.find(posed, Memory()).ticket)


@pytest.mark.parametrize("halves", ["both", "positive"])
@pytest.mark.parametrize("activation", [LeakyRelu(slope=0.3), Sigmoid()], ids=repr)
def test_compensation_knows_what_sums_count_with_other_activations(activation: Activation, halves: str) -> None:
    """Of leaky neurons both sums count for inputs of one sign; of smooth ones there is one."""
    posed = with_inputs(FullyConnected(inputs=8, hidden=30, outputs=4, depth=2, biases=True), positive=True)
    plain = pensia(n=10, halves=halves, signs="as_drawn", gains="matched", activation=activation, scale=1e-3)
    first, found = (replace(plain, compensate=c).find(posed, Memory()).ticket for c in ("none", "inputs"))
    assert output_error(found, posed) < 0.8 * output_error(first, posed)


def test_compensation_changes_nothing_where_inputs_are_independent() -> None:
    network = FullyConnected(inputs=5, hidden=4, outputs=3, depth=2, biases=True)
    posed = with_inputs(network, positive=True)
    assert posed.data is not None
    data = replace(posed.data, train_inputs=torch.eye(5), train_labels=None)
    plain, aware = (
        pensia(n=8, compensate=compensate).find(replace(posed, data=data), Memory()).ticket
        for compensate in ("none", "inputs")
    )
    for name in ("fc1.split.weight", "fc1.sum.weight"):
        np.testing.assert_array_equal(plain.masks[name].bits, aware.masks[name].bits)


def test_compensation_needs_training_inputs() -> None:
    aware = pensia(compensate="inputs")
    posed = with_inputs(FullyConnected(inputs=5, hidden=4, outputs=3, depth=2, biases=True), positive=True)
    assert posed.data is not None and posed.network is not None
    alone = replace(posed.data, train_inputs=None)
    with pytest.raises(ConfigError, match=r"set data\.calibration=FILE"):
        aware.check(posed.network, alone)
    with pytest.raises(ConfigError, match="compensate must be one of none, inputs"):
        pensia(compensate="weights")
