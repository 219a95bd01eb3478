"""What every target promises: float64 weights that fill the network, equal for equal seeds."""

import math
from pathlib import Path

import numpy as np
import pytest
from plain_recipe import PLAIN
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import filled, parameter_shapes
from lth_runner.targets.interface import Target
from lth_runner.targets.synthetic import SyntheticTarget
from lth_runner.targets.trained import TrainedTarget

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = Synthetic(train_count=60, test_count=20, side=5, classes=3, seed=0, noise=0.1).load(lambda line: None)


def targets(folder: Path) -> list[Target]:
    return [
        SyntheticTarget(gain=1.0),
        TrainedTarget(
            cache=str(folder), seed=0, epochs=1, batch=10, learning_rate=0.1, momentum=0.9, weight_decay=0.0005, **PLAIN
        ),
    ]


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("number", [0, 1])
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
