"""What every target promises: float64 weights that fill the network, equal for equal seeds."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from normed_network import Normed, Tied
from plain_recipe import PLAIN
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import filled, parameter_shapes
from lth_runner.targets.interface import Target
from lth_runner.targets.own import OwnTarget
from lth_runner.targets.synthetic import SyntheticTarget
from lth_runner.targets.trained import TrainedTarget

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = Synthetic(train_count=60, test_count=20, side=5, classes=3, seed=0, noise=0.1).load(lambda line: None)


def targets(folder: Path) -> list[Target]:
    return [
        SyntheticTarget(gain=1.0),
        OwnTarget(),
        TrainedTarget(
            augment=None,
            cache=str(folder),
            seed=0,
            epochs=1,
            frozen=[],
            batch=10,
            learning_rate=0.1,
            momentum=0.9,
            weight_decay=0.0005,
            **PLAIN,
        ),
    ]


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_its_weights_fill_the_network(tmp_path: Path, number: int, biases: bool) -> None:
    target = targets(tmp_path)[number]
    assert isinstance(target, Target)
    network = FullyConnected(inputs=25, hidden=7, outputs=3, depth=2, biases=biases)
    found = target.weights(network, DATA, Streams(0), "cpu", Memory())
    assert {name: array.shape for name, array in found.items()} == parameter_shapes(network)
    assert all(array.dtype == np.float64 for array in found.values())
    filled(network, found)
    again = target.weights(network, DATA, Streams(0), "cpu", Memory())
    for name, array in found.items():
        np.testing.assert_array_equal(array, again[name])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_its_buffers_come_along(tmp_path: Path, number: int) -> None:
    network = Normed(hidden=7)
    images = replace(DATA, train_inputs=torch.randn(60, 1, 6, 6), test_inputs=torch.randn(20, 1, 6, 6))
    found = targets(tmp_path)[number].weights(network, images, Streams(0), "cpu", Memory())
    state = network.module().state_dict()
    assert {name: array.shape for name, array in found.items()} == {name: t.shape for name, t in state.items()}
    assert list(found) == list(state)
    assert found["2.num_batches_tracked"].dtype == np.int64
    assert found["2.running_var"].dtype == np.float64
    assert found["2.num_batches_tracked"] == (6 if number == 2 else 0)  # batches of the training
    assert (found["2.weight"] == 1).all() == (number != 2), "the scales of a norm are as they are built"
    filled(network, found)


def test_own_weights_are_the_builders_and_come_from_the_seed() -> None:
    network = FullyConnected(inputs=25, hidden=7, outputs=3, depth=2, biases=True)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = OwnTarget().weights(network, None, Streams(0), "cpu", Memory())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(Streams(0).torch_seed("own"))
    for name, tensor in network.module().state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.double().numpy())
    other = OwnTarget().weights(network, None, Streams(1), "cpu", Memory())
    assert not np.array_equal(other["fc1.weight"], found["fc1.weight"])


def test_a_tied_weight_is_given_once() -> None:
    for target in (OwnTarget(), SyntheticTarget(gain=1.0)):
        assert list(target.weights(Tied(), None, Streams(0), "cpu", Memory())) == ["embed.weight", "middle.weight"]


def test_synthetic_weights_follow_their_law() -> None:
    network = FullyConnected(inputs=400, hidden=50, outputs=10, depth=2, biases=False)
    found = SyntheticTarget(gain=2.0).weights(network, None, Streams(0), "cpu", Memory())["fc1.weight"]
    size, deviation = 20_000, 2 / math.sqrt(400)
    assert abs(found.mean()) < 6 * deviation / math.sqrt(size)  # six standard errors: fails once in 5e8 seeds
    assert abs(found.std() / deviation - 1) < 6 / math.sqrt(2 * size)
    other = SyntheticTarget(gain=2.0).weights(network, None, Streams(1), "cpu", Memory())["fc1.weight"]
    assert not np.array_equal(found, other)


@pytest.mark.parametrize("gain", [0.0, -1.0, float("inf")])
def test_a_gain_that_makes_no_weights_is_refused(gain: float) -> None:
    with pytest.raises(ConfigError, match=r"target\.gain"):
        SyntheticTarget(gain=gain)
