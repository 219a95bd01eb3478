"""Constructions beyond ReLU: which sums make a layer linear, what phi(0) costs, and that curvature stays in bounds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_choice import COPIES, PLAIN_PATHS
from recorders import Memory
from small_convolution import SmallConvolution

from lth_runner.construct.burkholz import Burkholz
from lth_runner.construct.paths import first_factors, unit_gain, usable_neurons
from lth_runner.construct.pensia import Pensia
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.bound import output_bound
from lth_runner.networks.activated import Activated
from lth_runner.networks.activations import RELU, Activation, Behaviour, Gelu, LeakyRelu, Sigmoid, Silu, Tanh
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, filled, parameter_shapes
from lth_runner.networks.layers import weight_layers
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.networks.two_layer_expansion import Gadget, TwoLayerExpansion, linearised_
from lth_runner.problem import Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.file import read_ticket, save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.names import recipe
from lth_runner.ticket.ticket import Ticket

CURVED = [Tanh(), Sigmoid(), Gelu(), Silu()]
SMOOTH = [*CURVED, LeakyRelu(slope=1.0)]
EVERY = [RELU, LeakyRelu(slope=0.2), *SMOOTH]
FC = FullyConnected(inputs=6, hidden=7, outputs=3, depth=3, biases=True)
PLAIN = replace(FC, biases=False)


def settings_of(changes: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"objective": "closest", "epsilon": 0.01, "c": 3, "n": 8, "signs": "as_drawn"}
    found |= {"max_paths": 24, "distribution": Uniform(low=-1.0, high=1.0), "solver": MeetInMiddle()}
    return found | changes


def pensia(**changes: Any) -> Pensia:
    doubled = {**PLAIN_PATHS, "stored": [], "halves": "both", "gains": "fitted"}
    return Pensia(**settings_of(doubled | changes))


def burkholz(**changes: Any) -> Burkholz:
    return Burkholz(**settings_of({"twin": "always", **COPIES} | changes))


def problem(network: Architecture, seed: int = 0, size: float = 0.3) -> Problem:
    rng = np.random.default_rng(seed)
    target = {name: rng.normal(0, size, shape) for name, shape in parameter_shapes(network).items()}
    return Problem(network=network, target=target, data=None, streams=Streams(seed), device="cpu")


def inputs(network: Architecture, seed: int, count: int = 5) -> torch.Tensor:
    """Of both signs."""
    shape = (count, 2, 8, 8) if isinstance(network, SmallConvolution) else (count, 1, 1, 6)
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape))


def module(ticket: Ticket) -> torch.nn.Module:
    return materialise(ticket).module(torch.float64)


def test_leaky_relu_of_slope_0_is_relu_to_the_bit() -> None:
    for method in (pensia, burkholz):
        posed = problem(FC)
        relu, leaky = (method(activation=a).find(posed, Memory()).ticket for a in (RELU, LeakyRelu(slope=0.0)))
        for name, mask in relu.masks.items():
            np.testing.assert_array_equal(mask.bits, leaky.masks[name].bits)
        x = inputs(FC, 1)
        assert torch.equal(module(relu)(x), module(leaky)(x))
        for name, reading in materialise(relu).readings.items():
            np.testing.assert_array_equal(reading, materialise(leaky).readings[name])


@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_piecewise_linear_neurons_do_not_care_for_the_scale(scale: float) -> None:
    """A power of two, so that all roundings are the same."""
    first, second = (
        pensia(activation=LeakyRelu(slope=0.25), scale=s).find(problem(FC), Memory()).ticket for s in (1.0, scale)
    )
    assert torch.equal(module(first)(inputs(FC, 1)), module(second)(inputs(FC, 1)))


@pytest.mark.parametrize("activation", SMOOTH, ids=repr)
def test_one_slope_needs_one_sum_and_half_the_neurons(activation: Activation) -> None:
    smooth, kinked = (
        pensia(activation=a, scale=0.01).find(problem(FC), Memory()).ticket for a in (activation, LeakyRelu(slope=0.5))
    )
    one, two = smooth.architecture, kinked.architecture
    assert isinstance(one, TwoLayerExpansion) and isinstance(two, TwoLayerExpansion)
    assert (one.twins, one.takes_negatives()) == ([], True) and len(two.twins) == 3
    assert smooth.weights["fc1.split.weight"].shape == (8 * 7, 7)  # a constant for the bias
    assert kinked.weights["fc1.split.weight"].shape == (16 * 7, 7)
    assert {len(reading) for reading in materialise(smooth).readings.values()} == {1}
    assert {name: len(reading) for name, reading in materialise(kinked).readings.items()} == {
        name: 1 + name.endswith("weight") for name in parameter_shapes(FC)
    }
    assert smooth.masks["fc1.split.weight"].kept() == 8 * 7, "every sign of a first weight serves"


def test_slope_1_is_linear() -> None:
    one = FullyConnected(inputs=6, hidden=1, outputs=3, depth=1, biases=False)
    ticket = pensia(activation=LeakyRelu(slope=1.0)).find(problem(one), Memory()).ticket
    g, x = module(ticket), inputs(one, 3)
    torch.testing.assert_close(g(-3 * x), -3 * g(x), rtol=1e-12, atol=1e-12)
    assert materialise(ticket).deviations == {}
    (reading,) = materialise(ticket).readings["fc1.weight"]
    torch.testing.assert_close(g(x), x.flatten(1) @ torch.from_numpy(reading).T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.9, 2.5])
@pytest.mark.parametrize("halves", ["both", "positive"])
def test_two_sums_make_kinked_neurons_linear_for_both_signs(slope: float, halves: str) -> None:
    """The network is its readings exactly, and these are near the target for inputs of either sign."""
    ticket = pensia(activation=LeakyRelu(slope=slope), halves=halves, n=24).find(problem(PLAIN), Memory()).ticket
    readings, x = materialise(ticket).readings, inputs(PLAIN, 2).flatten(1).numpy()
    target = problem(PLAIN).target
    assert target is not None
    for name in ("fc1.weight", "fc2.weight", "fc3.weight"):
        weights = readings[name]
        assert len(weights) == (1 if halves == "positive" and name != "fc1.weight" else 2)
        assert np.median(np.abs(weights - target[name])) < 2e-3
        x = np.maximum(x, 0) @ weights[0].T - np.maximum(-x, 0) @ weights[-1].T
        x = x if name == "fc3.weight" else np.maximum(x, 0)  # the target's own activations are ReLUs
    np.testing.assert_allclose(module(ticket)(inputs(PLAIN, 2)).numpy(), x, atol=1e-11)


def test_the_sums_that_are_sought_follow_from_the_slopes() -> None:
    first = np.array([[0.5, -0.25, 2.0, -1.0]])
    leaky, tanh = LeakyRelu(slope=0.5).behaviour(), Tanh().behaviour()
    np.testing.assert_array_equal(first_factors(first, leaky, True, False), 1.5 * first)
    np.testing.assert_array_equal(first_factors(first, leaky, True, True), [[0.5, 0.0, 2.0, 0.0]])
    np.testing.assert_array_equal(first_factors(first, leaky, False, False), [[0.5, 0.0, 2.0, 0.0]])
    np.testing.assert_array_equal(first_factors(first, tanh, False, False), first)
    both = usable_neurons(first, True, "as_drawn", 4, False)
    np.testing.assert_array_equal(both, [[[True, False, True, False]], [[False, True, False, True]]])
    np.testing.assert_array_equal(usable_neurons(first, False, "reserved", 3, False), [[[True, True, True, False]]])
    constant = usable_neurons(first, True, "reserved", 4, True)
    np.testing.assert_array_equal(constant, [[[True, True, False, False]], [[False] * 4]], "of one sign of input")
    assert unit_gain(RELU.behaviour(), True, 1.0) == unit_gain(RELU.behaviour(), False, 1.0) == 1.0
    assert unit_gain(Sigmoid().behaviour(), False, 0.01) == pytest.approx(400)
    assert unit_gain(leaky, True, 1.0) == pytest.approx(1 / 1.5)


def test_the_sigmoids_offset_is_a_bias() -> None:
    """gain (V sigmoid(U x) - sum of V / 2): without inputs nothing comes out, whatever is kept."""
    ticket = pensia(activation=Sigmoid(), scale=0.1).find(problem(PLAIN), Memory()).ticket
    g, x = module(ticket), inputs(PLAIN, 4)
    assert torch.equal(g(torch.zeros_like(x)), torch.zeros(5, 3, dtype=torch.float64))
    gadget = g.get_submodule("fc1")
    assert isinstance(gadget, Gadget)
    hidden, weight = torch.sigmoid(gadget.split(x.flatten(1))), gadget.sum.weight
    bias = -gadget.gain * 0.5 * weight.sum(dim=1)
    torch.testing.assert_close(
        gadget(x.flatten(1)), gadget.gain * hidden @ weight.T + bias, rtol=0, atol=1e-12 * gadget.gain
    )


@given(
    activation=st.sampled_from(CURVED),
    scale=st.floats(1e-3, 10),
    size=st.floats(0.01, 100),
    seed=st.integers(0, 2**32),
    network=st.sampled_from([FC, PLAIN, SmallConvolution(biases=True)]),
)
@example(activation=Sigmoid(), scale=0.001, size=0.25, seed=0, network=FC)  # what is subtracted is 2,000 times as large
@settings(max_examples=15, deadline=None)
def test_curvature_stays_within_its_bound(
    activation: Activation, scale: float, size: float, seed: int, network: Architecture
) -> None:
    """Of the first layer, output by output, for inputs of any size; and of the whole network, however far off it is."""
    posed = problem(network, seed)
    found = materialise(pensia(n=4, activation=activation, scale=scale).find(posed, Memory()).ticket)
    assert posed.target is not None
    name = next(iter(found.deviations))
    own, x = found.deviations[name], size * inputs(network, seed)
    x = x if isinstance(network, SmallConvolution) else x.flatten(1)
    curved, linear = (m.get_submodule(name) for m in (found.module(torch.float64), linear_limit(found)))
    assert isinstance(curved, Gadget)
    layer = next(each for each in weight_layers(network) if each.name == name)
    bound = torch.nn.utils.skip_init(type(layer.part), **of_part(layer.part)).double()
    bound.weight = torch.nn.Parameter(torch.from_numpy(own.weight))
    if own.bias is not None:
        bound.bias = torch.nn.Parameter(torch.from_numpy(own.bias))
    apart, most = (curved(x) - linear(x)).abs(), bound(x.abs() ** own.order)
    # beside the output also what is subtracted, phi(0) over the scale, is rounded
    rounded = 4 * 2.0**-52 * curved.gain * float(curved.sum.weight.abs().flatten(1).sum(dim=1).max())
    assert bool((apart <= most * (1 + 1e-9) + 1e-12 * curved(x).abs().max() + rounded).all())
    images = inputs(network, seed)
    radius, largest = float(images.flatten(1).norm(dim=1).max()), float(images.abs().max())
    whole = (found.module(torch.float64)(images) - filled(network, posed.target, torch.float64)(images)).norm(dim=1)
    shape = tuple(images.shape[1:])
    certified = output_bound(
        found.readings, posed.target, network, shape, radius, largest=largest, deviations=found.deviations
    )
    assert float(whole.max()) <= certified


def linear_limit(found: Any) -> torch.nn.Module:
    return linearised_(found.module(torch.float64))


def of_part(part: Any) -> dict[str, Any]:
    """The arguments that build a layer of the same kind."""
    if isinstance(part, torch.nn.Linear):
        return {"in_features": part.in_features, "out_features": part.out_features, "bias": part.bias is not None}
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    return {name: getattr(part, name) for name in names} | {"bias": part.bias is not None}


@pytest.mark.parametrize("activation", CURVED, ids=repr)
def test_halving_the_scale_halves_or_quarters_the_curvature(activation: Activation) -> None:
    """Seen and bounded alike, and in the limit the network is that of its readings; masks stay what they are."""
    posed = problem(PLAIN)
    tickets = [pensia(activation=activation, scale=scale).find(posed, Memory()).ticket for scale in (2**-6, 2**-7)]
    for name, mask in tickets[0].masks.items():
        np.testing.assert_array_equal(mask.bits, tickets[1].masks[name].bits)
    x, ratio = inputs(PLAIN, 5), 2 ** (activation.behaviour().order - 1)
    seen, bounded = [], []
    for ticket in tickets:
        found = materialise(ticket)
        seen.append(float((found.module(torch.float64)(x) - linear_limit(found)(x)).abs().max()))
        bounded.append(found.deviations["fc1"].weight)
    assert seen[0] / seen[1] == pytest.approx(ratio, rel=0.05)
    np.testing.assert_allclose(bounded[0] / bounded[1], ratio, rtol=1e-9)
    assert 0 < seen[1] < 0.05


@pytest.mark.parametrize("activation", EVERY, ids=repr)
@pytest.mark.parametrize("method", [pensia, burkholz])
def test_networks_of_the_same_activation_are_approximated(method: Any, activation: Activation) -> None:
    """Twice as deep, and one layer deeper: random neurons and the target's have one activation."""
    network = Activated(original=FC, activation=activation)
    posed = problem(network)
    assert posed.target is not None
    n = 16 if method is pensia else 30
    ticket = method(activation=activation, scale=1e-4, n=n).find(posed, Memory()).ticket
    x = inputs(FC, 6)
    wanted = filled(network, posed.target, torch.float64)(x)
    assert float((module(ticket)(x) - wanted).abs().max()) < 0.03 * float(wanted.abs().max())
    curved = activation.behaviour().curvature > 0
    assert len(materialise(ticket).deviations) == curved * (3 if method is pensia else 1)


@pytest.mark.parametrize("activation", EVERY, ids=repr)
@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_outputs_stay_within_their_bound_whatever_is_between_layers(activation: Activation, scale: float) -> None:
    """With the activation of the target in all layers."""
    network = Activated(original=FC, activation=activation)
    posed = problem(network, size=0.6)
    assert posed.target is not None
    found = materialise(pensia(activation=activation, scale=scale, n=5).find(posed, Memory()).ticket)
    x = inputs(FC, 8, count=200)
    apart = (found.module(torch.float64)(x) - filled(network, posed.target, torch.float64)(x)).norm(dim=1)
    radius, largest = float(x.flatten(1).norm(dim=1).max()), float(x.abs().max())
    certified = output_bound(
        found.readings, posed.target, network, (1, 1, 6), radius, largest=largest, deviations=found.deviations
    )
    assert 0 < float(apart.max()) <= certified


def test_copies_pass_layers_without_an_activation() -> None:
    network = Activated(original=FC, activation=LeakyRelu(slope=1.0))
    ticket = burkholz(n=24).find(problem(network), Memory()).ticket
    assert isinstance(ticket.architecture, NeuronCopies) and ticket.architecture.gain == 1


@pytest.mark.parametrize("activation", [LeakyRelu(slope=0.3), Sigmoid()], ids=repr)
def test_a_file_names_the_activation_and_is_read_back(activation: Activation, tmp_path: Path) -> None:
    for method in (pensia, burkholz):
        ticket = method(activation=activation, scale=0.1).find(problem(FC), Memory()).ticket
        path = tmp_path / "ticket.safetensors"
        save_ticket(ticket, path)
        found = read_ticket(path)
        assert found.architecture == ticket.architecture and to_bytes(found) == to_bytes(ticket)
        assert torch.equal(module(found)(inputs(FC, 7)), module(ticket)(inputs(FC, 7)))


def test_files_of_relus_are_what_they_were() -> None:
    for method in (pensia, burkholz):
        assert (
            recipe(method().find(problem(FC), Memory()).ticket.architecture).keys().isdisjoint({"activation", "gain"})
        )


@dataclass(frozen=True, kw_only=True)
class Even:
    """|z|, or z^2."""

    kind: ClassVar[str] = "even"
    slope: float

    def module(self) -> torch.nn.Module:
        return torch.nn.ReLU()

    def behaviour(self) -> Behaviour:
        return replace(RELU.behaviour(), positive=self.slope, negative=-self.slope)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_an_even_function_is_refused_in_one_sentence(slope: float) -> None:
    for method in (pensia, burkholz):
        with pytest.raises(ConfigError, match=r"activation Even has slopes .* whose sum is 0, so that no sum .* tanh$"):
            method(activation=Even(slope=slope))
        with pytest.raises(ConfigError, match="scale must be above 0"):
            method(scale=0.0)
