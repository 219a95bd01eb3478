"""Function errors: seen <= found <= certified, on networks of every kind; bounds that are exact where they can be."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from comparisons import comparison
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_choice import COPIES, ONE_BY_ONE, PLAIN_PATHS, UNMATCHED
from recorders import Memory
from small_convolution import SmallConvolution
from torch import nn

from lth_runner.construct.burkholz import Burkholz
from lth_runner.construct.pensia import Pensia
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.bound import copies_bound, norm_bound, output_bound
from lth_runner.measure.function_error import FunctionError, into_ball
from lth_runner.networks.activated import Activated
from lth_runner.networks.activations import RELU, Tanh
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import Architecture, filled, parameter_shapes, tensors_of
from lth_runner.networks.layers import weight_layers
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.problem import Problem
from lth_runner.studies.theorem import Theorem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.materialise import materialise

LAW = Uniform(low=-1.0, high=1.0)
SEARCH = FunctionError(restarts=6, steps=12)


def problem(network: Architecture, shape: tuple[int, ...], seed: int, low: float) -> Problem:
    rng = np.random.default_rng(seed)
    target = {name: rng.normal(0, 0.4, shape) for name, shape in parameter_shapes(network).items()}
    images = torch.from_numpy(rng.uniform(low, 1, (30, *shape)).astype(np.float32))
    labels = torch.zeros(30, dtype=torch.int64)
    data = Dataset(name="noise", train_inputs=images, train_labels=labels, test_inputs=images, test_labels=labels)
    return Problem(network=network, target=target, data=data, streams=Streams(seed), device="cpu")


def methods(n: int) -> list[Any]:
    shared: dict[str, Any] = {"objective": "closest", "epsilon": 0.05, "c": 3, "n": n, "distribution": LAW}
    shared |= {"solver": MeetInMiddle()}
    doubled: dict[str, Any] = {"signs": "as_drawn", "gains": "fitted", "max_paths": 24}
    return [
        SubsetSum(stored=[], **shared, sharing="weight", threshold_small=False, **ONE_BY_ONE, **UNMATCHED),
        Pensia(**PLAIN_PATHS, stored=[], **shared, **doubled, halves="both"),
        Pensia(**PLAIN_PATHS, stored=[], **shared, **doubled, halves="positive"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", [0, 1, 2])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("low", [0.0, -1.0])
@given(seed=st.integers(0, 2**32), n=st.integers(2, 8), convolution=st.booleans())
@settings(max_examples=4, deadline=None)
def test_seen_is_at_most_found_is_at_most_certified(
    method: int, biases: bool, low: float, seed: int, n: int, convolution: bool
) -> None:
    if convolution:
        posed = problem(SmallConvolution(biases=biases), (2, 8, 8), seed, low)
    else:
        posed = problem(FullyConnected(inputs=6, hidden=5, outputs=3, depth=3, biases=biases), (1, 2, 3), seed, low)
    ticket = methods(n)[method].find(posed, Memory()).ticket
    found = SEARCH.measure(materialise(ticket), posed, Memory())
    assert found["function_error_test"] <= found["function_error_test_bound"]
    # 0 where small networks happen to be dead on the whole box, target and ticket alike
    assert 0 <= found["function_error_box_found"] <= found["function_error_box_bound"]
    assert 0 <= found["function_error_ball_found"] <= found["function_error_ball_bound"]
    if low == 0:  # the images lie in the box, and the worst of them is a start
        assert found["function_error_test"] <= found["function_error_box_found"] + 1e-12


def test_one_linear_layer_is_bounded_exactly_and_ascent_reaches_it() -> None:
    network = FullyConnected(inputs=5, hidden=1, outputs=1, depth=1, biases=False)
    posed = problem(network, (1, 1, 5), seed=0, low=-1.0)
    assert posed.target is not None
    error = np.array([[0.3, -0.2, 0.1, 0.0, 0.4]])
    effective = {"fc1.weight": posed.target["fc1.weight"] + error}
    norm = float(np.linalg.norm(error))
    assert output_bound(effective, posed.target, network, (1, 1, 5), 1.0) == pytest.approx(norm, rel=1e-8)
    twice = {"fc1.weight": posed.target["fc1.weight"] + np.stack((error, -error))}  # both signs: error * |x|
    both = output_bound(twice, posed.target, network, (1, 1, 5), 1.0)
    assert both == pytest.approx(math.sqrt(2) * norm, rel=1e-8)
    ticket = (
        SubsetSum(
            **ONE_BY_ONE,
            stored=[],
            objective="closest",
            epsilon=0.1,
            c=1,
            n=2,
            sharing="weight",
            **UNMATCHED,
            threshold_small=False,
            distribution=LAW,
            solver=MeetInMiddle(),
        )
        .find(posed, Memory())
        .ticket
    )
    found = FunctionError(restarts=4, steps=60).measure(materialise(ticket), posed, Memory())
    assert found["function_error_ball_found"] == pytest.approx(found["function_error_ball_bound"], rel=1e-2)


@pytest.mark.parametrize("place", [0, 1])
def test_the_norm_of_a_convolution_is_bounded_above_and_not_far(place: int) -> None:
    """Against the whole matrix of a convolution, with padding or with a stride."""
    network = SmallConvolution(biases=False)
    layer, side = weight_layers(network)[place], (8, 4)[place]
    weight = np.random.default_rng(0).normal(0, 1, layer.part.weight.shape)
    inputs = torch.eye(layer.inputs * side**2, dtype=torch.float64).view(-1, layer.inputs, side, side)
    outputs = filled(network, problem(network, (2, 8, 8), 0, 0.0).target or {}, torch.float64).get_submodule(layer.name)
    outputs.weight = torch.nn.Parameter(torch.from_numpy(weight))
    true_norm = float(torch.linalg.matrix_norm(outputs(inputs).flatten(1).detach(), 2))
    assert true_norm <= norm_bound(weight[None], layer) <= 3 * true_norm


def test_a_bias_counts_once_per_pixel() -> None:
    posed = problem(SmallConvolution(biases=True), (2, 8, 8), 0, 0.0)
    assert posed.target is not None and posed.network is not None
    behind = {name: np.zeros_like(weight) for name, weight in posed.target.items()}
    behind |= {"conv2.weight": np.zeros((2, 3, 3, 2)), "fc.weight": np.ones((3, 4))}
    shifted = behind | {"conv2.bias": np.array([0.3, 0.4])}
    bound = output_bound(shifted, behind, posed.network, (2, 8, 8), 1.0)
    pixels, onward = 1 * 2, math.sqrt(3 * 4)  # conv2 gives 1 x 2 pixels; the all-ones matrix has this norm
    assert bound == pytest.approx(0.5 * math.sqrt(pixels) * onward, rel=1e-8)


def copied(n: int) -> Burkholz:
    return Burkholz(
        objective="sparsest",
        epsilon=0.05,
        c=3,
        n=n,
        twin="needed",
        signs="as_drawn",
        max_paths=24,
        **COPIES,
        distribution=LAW,
        solver=MeetInMiddle(),
    )


def test_the_study_puts_them_side_by_side() -> None:
    posed = problem(FullyConnected(inputs=6, hidden=5, outputs=3, depth=2, biases=False), (1, 2, 3), 0, 0.0)
    copies = copied(6)
    recorder = Memory()
    outcome = Theorem(comparison=comparison(), function_error=SEARCH).run(
        posed, {"doubled": methods(8)[2], "copied": copies}, recorder
    )
    assert [row["network"] for row in outcome.rows] == ["target", "doubled", "copied"]
    for name in ("doubled", "copied"):
        seen = outcome.summary[f"{name}/function_error_test"]
        (line,) = [line for line in recorder.said if line.startswith(f"{name}: outputs differ")]
        assert f"outputs differ by at most {seen:.2g} on the test images" in line
        assert "(at most:" in line
        bound = outcome.summary[f"{name}/function_error_test_bound"]
        assert isinstance(seen, float) and isinstance(bound, float) and seen <= bound
        assert f"{name}/function_error_ball_bound" in outcome.summary


def test_the_bound_of_copies_is_exact_where_it_can_be() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 6)), rng.normal(size=(3, 5))
    copied = [np.tile(first, (4, 1)), np.tile(second, (1, 4)) / 4]
    assert copies_bound(copied, [first, second])(2.0) == 0
    error = rng.normal(size=(3, 5))
    moved = copied[1] + np.concatenate([np.zeros((3, 15)), error], axis=1)  # of the last copy alone
    expected = np.linalg.norm(error, 2) * np.linalg.norm(first, 2) * 2
    assert copies_bound([copied[0], moved], [first, second])(2.0) == pytest.approx(expected, rel=1e-8)
    shifted = copied[0] + np.concatenate([np.zeros((15, 6)), rng.normal(size=(5, 6))])
    x = rng.uniform(0, 1, (100, 6))
    x *= 2 / np.linalg.norm(x, axis=1, keepdims=True)
    pruned, exact = (np.maximum(x @ w.T, 0) @ v.T for w, v in ((shifted, moved), (first, second)))
    seen = np.linalg.norm(pruned - exact, axis=1).max()
    bound = copies_bound([shifted, moved], [first, second])(2.0)
    assert seen <= bound
    onward = np.linalg.norm(moved, 2) * np.linalg.norm(shifted - copied[0], 2) * 2
    assert bound == pytest.approx(expected + onward, rel=1e-8)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_matrices_of_copies_compute_what_the_network_does(low: float) -> None:
    posed = problem(FullyConnected(inputs=6, hidden=5, outputs=3, depth=3, biases=False), (1, 2, 3), 0, low)
    ticket = copied(3).find(posed, Memory()).ticket
    assert isinstance(ticket.architecture, NeuronCopies)
    module = materialise(ticket).module(torch.float64)
    if low < 0:
        with pytest.raises(ConfigError, match="without neurons for negative inputs"):
            ticket.architecture.multipliers(module)
        return
    x = torch.rand(20, 1, 2, 3, dtype=torch.float64)
    outputs = x.flatten(1).numpy()
    for place, matrix in enumerate(ticket.architecture.multipliers(module)):
        outputs = (np.maximum(outputs, 0) if place else outputs) @ matrix.T
    np.testing.assert_allclose(outputs, module(x).numpy(), atol=1e-12)


@pytest.mark.parametrize("which", ["added", "own"])
def test_other_activations_have_no_bound_of_copies(which: str) -> None:
    """Neither where the added neurons have them nor where the target has."""
    plain = FullyConnected(inputs=6, hidden=5, outputs=3, depth=2, biases=False)
    target = Activated(original=plain, activation=Tanh()) if which == "own" else plain
    method = replace(copied(3), activation=Tanh() if which == "added" else RELU)
    found = method.find(problem(target, (1, 2, 3), 0, 0.0), Memory()).ticket
    assert isinstance(found.architecture, NeuronCopies)
    with pytest.raises(ConfigError, match="matrices and ReLUs alone"):
        found.architecture.multipliers(materialise(found).module(torch.float64))


def test_the_ball_without_negative_inputs_is_its_non_negative_part() -> None:
    x = torch.tensor([[[[3.0, -4.0]]], [[[0.1, -0.1]]]])
    torch.testing.assert_close(into_ball(True)(x)[0].norm(), torch.tensor(1.0))
    torch.testing.assert_close(into_ball(False)(x), torch.tensor([[[[1.0, 0.0]]], [[[0.1, 0.0]]]]))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="restarts must be at least 2"):
        FunctionError(restarts=1, steps=1)
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        FunctionError(restarts=2, steps=0)


SHARED = nn.Linear(4, 4)
POOL = nn.MaxPool2d(2)
TIED = [nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)]
TIED[1].weight = TIED[0].weight


@pytest.mark.parametrize(
    ("layers", "image"),
    [
        ([nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate", bias=False)], (1, 4, 4)),
        ([SHARED, nn.ReLU(), SHARED], (4,)),
        ([TIED[0], nn.ReLU(), TIED[1]], (4,)),
        ([nn.Conv2d(1, 1, 1), nn.MaxPool2d(2, 2, dilation=2)], (1, 9, 9)),
        ([nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))], (4,)),
    ],
    ids=["padding mode", "shared", "tied", "dilated pooling", "parametrized"],
)
def test_where_no_bound_is_known_there_is_none(layers: list[nn.Module], image: tuple[int, ...]) -> None:
    module = nn.Sequential(*layers)
    target = {name: tensor.detach().double().numpy() for name, tensor in tensors_of(module).items()}
    with pytest.raises(ConfigError, match="no bound is known"):
        output_bound(target, target, Instance.of(module), image, 1.0)


def test_a_shared_pooling_is_passed_each_time() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), POOL, nn.Conv2d(2, 2, 3, padding=1), POOL, nn.Flatten())
    target = {name: tensor.detach().double().numpy() for name, tensor in tensors_of(module).items()}
    assert output_bound(target, target, Instance.of(module), (1, 8, 8), 1.0) == 0
