"""Direct substitution that takes up the errors of weights chosen before."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from construct.substitutions import MALACH, METHOD, NETWORK, SIGNED, SIGNS
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import filled, parameter_shapes
from lth_runner.problem import Problem
from lth_runner.ticket.file import to_bytes
from lth_runner.ticket.materialise import materialise


def posed_with_inputs(network: Any) -> Problem:
    """A network whose inputs are correlated, with training and test inputs."""
    rng = np.random.default_rng(3)
    target = {name: rng.normal(0, 0.4, shape) for name, shape in parameter_shapes(network).items()}
    mixing = rng.normal(size=(3, 5))
    x = torch.from_numpy(rng.normal(size=(400, 3)) @ mixing).float()
    data = Dataset(name="correlated", train_inputs=x[:300], train_labels=None, test_inputs=x[300:], test_labels=None)
    return Problem(network=network, target=target, data=data, streams=Streams(0), device="cpu")


def output_error(method: Any, posed: Problem) -> float:
    """Relative, on test inputs."""
    assert posed.data is not None and posed.network is not None and posed.target is not None
    assert isinstance(posed.data.test_inputs, torch.Tensor)
    wanted = filled(posed.network, posed.target)(posed.data.test_inputs)
    found = materialise(method.find(posed, Memory()).ticket).module()(posed.data.test_inputs)
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    "method",
    [
        replace(METHOD, n=3),
        replace(METHOD, n=3, sharing="row"),
        replace(SIGNS, n=3),
        replace(SIGNED, n=2, match="row"),
        MALACH,
    ],
)
@pytest.mark.parametrize("follow", ["pruned", "target"])
def test_compensation_lowers_the_error_of_the_outputs_and_keeps_the_counts(method: Any, follow: str) -> None:
    network = FullyConnected(inputs=5, hidden=40, outputs=3, depth=2, biases=True)
    posed = posed_with_inputs(network)
    settings = replace(METHOD.compensation, follow=follow)
    aware = replace(method, compensate="inputs", compensation=settings)
    plain, found = method.find(posed, Memory()).ticket, aware.find(posed, Memory()).ticket
    assert output_error(aware, posed) < 0.8 * output_error(method, posed)
    assert (found.drawn(), found.offered()) == (plain.drawn(), plain.offered())
    assert to_bytes(found) == to_bytes(aware.find(posed, Memory()).ticket)


def test_weights_on_independent_inputs_are_chosen_as_without_compensation() -> None:
    network = FullyConnected(inputs=5, hidden=4, outputs=3, depth=2, biases=False)
    posed = posed_with_inputs(network)
    assert posed.data is not None
    data = replace(posed.data, train_inputs=torch.eye(5), train_labels=None)
    aware = replace(METHOD, compensate="inputs")
    plain, found = (method.find(replace(posed, data=data), Memory()).ticket for method in (METHOD, aware))
    np.testing.assert_array_equal(plain.masks["fc1.weight"].bits, found.masks["fc1.weight"].bits)


def test_compensation_needs_training_inputs() -> None:
    aware = replace(METHOD, compensate="inputs")
    posed = posed_with_inputs(NETWORK)
    assert posed.data is not None
    alone = replace(posed.data, train_inputs=None)
    with pytest.raises(ConfigError, match=r"set data\.calibration=FILE"):
        aware.check(NETWORK, alone)
    with pytest.raises(ConfigError, match=r"set data\.calibration=FILE"):
        aware.find(replace(posed, data=alone), Memory())
    with pytest.raises(ConfigError, match="compensate must be one of none, inputs"):
        replace(METHOD, compensate="weights")
