"""The network one layer deeper than its target: its masks, its sums, and that it computes the target."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_choice import COPIES
from recorders import Memory
from small_convolution import SmallConvolution

from lth_runner.construct.burkholz import Burkholz
from lth_runner.construct.matching import Matching
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.approximation import weight_errors
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, filled, parameter_shapes, state_shapes
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.networks.resnet import ResNet
from lth_runner.problem import Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.materialise import approximated_by, materialise


def burkholz(**changes: Any) -> Burkholz:
    settings: dict[str, Any] = {"objective": "closest", "epsilon": 0.01, "c": 3, "n": 5, "twin": "always"}
    settings |= {"signs": "as_drawn", "max_paths": 24, "solver": MeetInMiddle(), **COPIES}
    return Burkholz(distribution=Uniform(low=-1.0, high=1.0), **settings | changes)


def problem(network: Architecture, seed: int, size: float = 0.2) -> Problem:
    rng = np.random.default_rng(seed)
    target = {name: rng.normal(0, size, shape) for name, shape in parameter_shapes(network).items()}
    return Problem(network=network, target=target, data=None, streams=Streams(seed), device="cpu")


def images(network: Architecture, seed: int) -> torch.Tensor:
    shape = (
        (5, 2, 8, 8) if isinstance(network, SmallConvolution) else (5, 1, 1, parameter_shapes(network)["fc1.weight"][1])
    )
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape))


def fully_connected(depth: int, biases: bool) -> FullyConnected:
    return FullyConnected(inputs=4, hidden=6, outputs=3, depth=depth, biases=biases)


NETWORKS = st.one_of(
    st.builds(fully_connected, depth=st.integers(1, 3), biases=st.booleans()),
    st.builds(SmallConvolution, biases=st.booleans()),
)


@pytest.mark.slow
@given(
    network=NETWORKS, n=st.integers(1, 5), seed=st.integers(0, 2**32), signs=st.sampled_from(["reserved", "as_drawn"])
)
@settings(max_examples=30, deadline=None)
def test_the_pruned_network_is_its_masked_arrays(network: Architecture, n: int, seed: int, signs: str) -> None:
    ticket = burkholz(n=n, signs=signs).find(problem(network, seed), Memory()).ticket
    assert isinstance(ticket.architecture, NeuronCopies)
    dense = {name: ticket.random[name].draw(ticket.seed) * mask.dense() for name, mask in ticket.masks.items()}
    x = images(network, seed)
    output, whole = materialise(ticket).module(torch.float64)(x), filled(ticket.architecture, dense, torch.float64)(x)
    torch.testing.assert_close(output, whole, rtol=0, atol=1e-12 * max(1.0, float(whole.abs().max())))
    effective = materialise(ticket).readings
    assert set(effective) == set(parameter_shapes(network))
    last = [name for name in parameter_shapes(network) if name.endswith("weight")][-1]
    if last != next(iter(parameter_shapes(network))):  # the sums behind the first layer, copy by copy
        summed = dense[last.replace("weight", "sum.weight")]
        assert effective[last].shape[0] == 1
        bias = int(last.replace("weight", "bias") in parameter_shapes(network))
        parts = summed.reshape(len(summed), n, effective[last].shape[2] + bias)
        np.testing.assert_allclose(effective[last][0], parts.sum(axis=1)[:, : effective[last].shape[2]], atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("convolution", [False, True])
def test_with_enough_copies_the_network_computes_its_target(convolution: bool, biases: bool) -> None:
    network = SmallConvolution(biases=biases) if convolution else fully_connected(3, biases)
    posed = problem(network, seed=4)
    assert posed.target is not None
    ticket = burkholz(n=30).find(posed, Memory()).ticket
    errors = [np.abs(reading - posed.target[name]) for name, reading in materialise(ticket).readings.items()]
    assert np.median(np.concatenate([error.ravel() for error in errors])) < 1e-5
    x = images(network, 0)
    output, wanted = (
        m(x) for m in (materialise(ticket).module(torch.float64), filled(network, posed.target, torch.float64))
    )
    assert float((output - wanted).abs().max()) < 0.01 * float(wanted.abs().max())


RESIDUAL = {
    shortcut: ResNet(channels=2, width=2, blocks=1, outputs=3, shortcut=shortcut)
    for shortcut in ("projection", "padding")
}


def residual(shortcut: str, seed: int) -> Problem:
    """A residual network with batch norms that are not those of a fresh one."""
    rng = np.random.default_rng(seed)
    target = {
        name: np.abs(rng.normal(1, 0.2, shape)) if name.endswith("var") else rng.normal(0, 0.3, shape)
        for name, shape in state_shapes(RESIDUAL[shortcut]).items()
        if shape
    }
    counters = {name: np.array(1) for name, shape in state_shapes(RESIDUAL[shortcut]).items() if not shape}
    return replace(problem(RESIDUAL[shortcut], seed), target=target | counters)


@pytest.mark.parametrize("shortcut", RESIDUAL)
def test_a_residual_network_is_computed_with_as_many_copies_behind_every_layer(shortcut: str) -> None:
    posed, small = residual(shortcut, 1), Matching(factor=1.0, reach=0.5, group=64)
    assert posed.target is not None
    ticket = burkholz(n=14, first_n=40, gains="matched", matching=small).find(posed, Memory()).ticket
    network, found = materialise(ticket), ticket.architecture
    assert isinstance(found, NeuronCopies)
    errors = weight_errors(network.readings, approximated_by(ticket, posed.target), 0.01)
    assert errors["weight_error_median"] < 1e-3 and errors["weight_error_p90"] < 0.01
    x = torch.rand(5, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = filled(RESIDUAL[shortcut], posed.target, torch.float64)(x)
    assert float((network.module(torch.float64)(x) - wanted).abs().max()) < 0.1 * float(wanted.abs().max())
    shapes = parameter_shapes(found)
    assert shapes["stage1.0.conv2.sum.weight"] == (14 * 2, 14 * 3, 3, 3), "a constant for each copy"
    assert shapes["stage2.0.conv1.sum.weight"] == (14 * 4, 14 * 3, 3, 3)
    assert shapes["fc.sum.weight"] == (3, 14 * 9)
    split = [name for name in shapes if name.endswith("split.weight")]
    assert split == ["conv1.split.weight"] and shapes[split[0]] == (40 * 2 * 3, 3, 1, 1)


def test_random_numbers_in_the_scale_of_the_weights_magnify_less() -> None:
    """The norm of a layer between copies, which multiplies their differences, is that of its random numbers."""
    posed = problem(fully_connected(3, True), seed=3, size=0.02)
    norms, errors = {}, {}
    for gains in ("none", "matched"):
        ticket = burkholz(n=12, gains=gains).find(posed, Memory()).ticket
        assert isinstance(ticket.architecture, NeuronCopies) and posed.target is not None
        dense = ticket.random["fc2.sum.weight"].draw(ticket.seed) * ticket.masks["fc2.sum.weight"].dense()
        constant = np.arange(dense.shape[1]) % 7 == 6
        scale = (ticket.architecture.scales or {}).get("fc2.weight", 1.0)
        norms[gains] = scale * np.linalg.norm(dense[:, ~constant], 2)
        errors[gains] = weight_errors(materialise(ticket).readings, posed.target, 0.01)["weight_error_median"]
        assert (ticket.facts.get("scale/fc2.weight", 1.0), "scale/fc1.weight" in ticket.facts) == (scale, False)
    assert norms["matched"] < 0.2 * norms["none"] and errors["matched"] < errors["none"]


def test_constants_reach_every_bias_where_numbers_are_matched() -> None:
    """Biases beyond what ten numbers from U[-1, 1] add up to, read as they are and as the network computes them."""
    network = fully_connected(2, True)
    posed = problem(network, seed=2)
    assert posed.target is not None
    large = {**posed.target, "fc2.bias": np.array([4.0, -4.0, 3.0])}
    found = {}
    for gains in ("none", "matched"):
        ticket = burkholz(n=10, gains=gains).find(replace(posed, target=large), Memory()).ticket
        network_found = materialise(ticket)
        error = np.abs(network_found.readings["fc2.bias"] - large["fc2.bias"]).max()
        x = images(network, 0)
        wanted = filled(network, large, torch.float64)(x)
        found[gains] = error, float((network_found.module(torch.float64)(x) - wanted).abs().max())
    assert found["none"][0] > 1 and found["none"][1] > 1
    assert found["matched"][0] < 0.1 and found["matched"][1] < 0.5


def test_depth_and_widths_are_those_of_the_construction() -> None:
    ticket = burkholz(n=5).find(problem(fully_connected(3, False), seed=1), Memory()).ticket
    assert {name: mask.shape for name, mask in ticket.masks.items()} == {
        "fc1.split.weight": (2 * 5 * 4, 4),
        "fc1.sum.weight": (5 * 6, 2 * 5 * 4),
        "fc2.sum.weight": (5 * 6, 5 * 6),
        "fc3.sum.weight": (3, 5 * 6),
    }


def test_a_target_that_mixes_neurons_between_layers_is_refused_in_one_sentence() -> None:
    class Mixed(FullyConnected):
        def module(self) -> torch.nn.Module:
            between = torch.nn.Softmax(dim=1)
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 6), between, torch.nn.Linear(6, 3))

    network = Mixed(inputs=4, hidden=6, outputs=3, depth=2, biases=False)
    with pytest.raises(ConfigError, match=r"takes neurons one by one, and Softmax does not: take method=pensia$"):
        NeuronCopies(target=network, n=1, copies=1, twin=True)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="twin must be one of"):
        burkholz(twin="maybe")
    with pytest.raises(ConfigError, match="gains must be one of"):
        burkholz(gains="fitted")
    with pytest.raises(ConfigError, match="first_n must be at least 1"):
        burkholz(first_n=0)
    empty = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")
    with pytest.raises(ConfigError, match="add target=trained"):
        burkholz().find(empty, Memory())
