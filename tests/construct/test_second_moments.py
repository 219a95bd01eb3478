"""Second moments of what layers really get, and layers replaced on the way."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import SMALL, Small, dataset, target
from torch import nn

from lth_runner.construct.compensation import Compensation
from lth_runner.construct.second_moments import (
    calibrated,
    calibration_inputs,
    moment_sum,
    replace_layers,
    second_moments,
)
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.networks.instance import Instance
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.problem import Problem

SETTINGS = Compensation(order="inputs", damping=0.01, samples=20, follow="pruned")


def problem(small: Small) -> Problem:
    return Problem(network=small.make(), target=target(small), data=dataset(small), streams=Streams(0), device="cpu")


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (2, 3), "stride": (2, 1), "dilation": (1, 2), "padding": (0, 2)},
        {"kernel_size": 3, "groups": 2},
        {"kernel_size": 3, "padding": 1, "groups": 4},
        {"kernel_size": (2, 3), "padding": "same", "dilation": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    ],
)
def test_a_convolutions_moments_give_the_size_of_its_outputs(settings: dict[str, Any]) -> None:
    """|W x|^2 over all places is the trace of W H W^T, for every group, whatever the weights."""
    part = nn.Conv2d(4, 8, bias=False, dtype=torch.float64, **settings)
    x = torch.randn(5, 4, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        outputs = part(x)
    moments, count = moment_sum(part, x, None)
    assert count == outputs[:, 0].numel()
    matrix = part.weight.detach().numpy().reshape(part.groups, 8 // part.groups, -1)
    found = np.einsum("goi,gij,goj->go", matrix, moments, matrix).ravel()
    np.testing.assert_allclose(found, outputs.square().sum((0, 2, 3)).numpy(), rtol=1e-10)


def test_positions_that_are_not_real_do_not_count() -> None:
    part = nn.Linear(3, 2, dtype=torch.float64)
    x, real = torch.randn(4, 5, 3, dtype=torch.float64), torch.rand(4, 5) > 0.5
    moments, count = moment_sum(part, x, real)
    np.testing.assert_allclose(moments[0], (x[real].T @ x[real]).numpy())
    assert count == int(real.sum())
    assert moment_sum(part, x[:, 0], real)[1] == 4, "an input without positions counts whole"


@pytest.mark.parametrize("name", ["fc", "conv", "vit", "language", "convolutions"])
def test_batches_change_nothing_and_every_layer_is_seen(name: str) -> None:
    posed = problem(SMALL[name])
    layers = weight_layers(SMALL[name].make())
    given, real = calibration_inputs(posed, 20)
    assert (real is not None) == (name == "language")
    whole, parts = (second_moments(calibrated(posed), layers, given, real, batch) for batch in (20, 7))
    assert whole.keys() == {layer.weight for layer in layers}
    for layer in layers:
        assert whole[layer.weight].shape == (layer.groups, *[layer.part.weight[0].numel()] * 2)
        np.testing.assert_allclose(whole[layer.weight], parts[layer.weight], rtol=1e-10, atol=1e-12)


def shrunk(seen: dict[str, np.ndarray], module: nn.Module) -> Any:
    def choose(layer: WeightLayer, moments: np.ndarray) -> np.ndarray:
        seen[layer.weight] = moments
        return 0.5 * module.get_submodule(layer.name).get_parameter("weight").numpy()

    return choose


@pytest.mark.parametrize("name", ["fc4", "conv", "vit", "language", "resnet"])
def test_pruned_layers_decide_what_later_ones_get(name: str) -> None:
    """In one pass what other passes give: of layer k, those of a network whose layers before k are replaced."""
    posed, layers = problem(SMALL[name]), weight_layers(SMALL[name].make())
    module, seen = calibrated(posed), dict[str, np.ndarray]()
    assert not replace_layers(posed, layers, SETTINGS, shrunk(seen, module), module)
    assert list(seen) == [layer.weight for layer in layers]
    again, (given, real) = calibrated(posed), calibration_inputs(posed, 20)
    for layer in layers:
        expected = second_moments(again, [layer], given, real, 20)[layer.weight]
        np.testing.assert_allclose(seen[layer.weight], expected, rtol=1e-10, atol=1e-12)
        again.get_submodule(layer.name).get_parameter("weight").mul_(0.5)
    for one, other in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_targets_own_inputs_are_those_of_the_target() -> None:
    posed, layers = problem(SMALL["fc4"]), weight_layers(SMALL["fc4"].make())
    module, seen = calibrated(posed), dict[str, np.ndarray]()
    assert not replace_layers(posed, layers, replace(SETTINGS, follow="target"), shrunk(seen, module), module)
    given, real = calibration_inputs(posed, 20)
    expected = second_moments(calibrated(posed), layers, given, real, 256)
    assert seen.keys() == expected.keys()
    assert all(np.array_equal(seen[name], expected[name]) for name in seen)


@pytest.mark.parametrize("follow", ["pruned", "target"])
def test_of_tied_layers_the_first_call_decides(follow: str) -> None:
    posed, layers = problem(SMALL["tied_layers"]), weight_layers(SMALL["tied_layers"].make())
    module, seen = calibrated(posed), dict[str, np.ndarray]()
    settings = replace(SETTINGS, follow=follow)
    assert not replace_layers(posed, layers, settings, shrunk(seen, module), module)
    assert list(seen) == ["first.weight", "second.weight", "head.weight"]


def test_layers_that_no_input_reaches_are_named() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x.flatten(1)[:, :3])

    network = Instance.of(Unused())
    weights = {name: value.detach().double().numpy() for name, value in Unused().named_parameters()}
    posed = replace(problem(SMALL["fc"]), network=network, target=weights)
    for follow in ("pruned", "target"):
        module = calibrated(posed)
        settings = replace(SETTINGS, follow=follow)
        assert replace_layers(posed, weight_layers(network), settings, shrunk({}, module), module) == {"unused.weight"}


def test_calibration_inputs_are_training_inputs() -> None:
    posed = problem(SMALL["fc"])
    assert posed.data is not None and isinstance(posed.data.train_inputs, torch.Tensor)
    given, _ = calibration_inputs(posed, 10)
    rows = {tuple(row) for row in posed.data.train_inputs.double().flatten(1).tolist()}
    assert isinstance(given, torch.Tensor) and len(given) == 10
    assert {tuple(row) for row in given.flatten(1).tolist()} < rows
    assert len(calibration_inputs(posed, 10**6)[0]) == 32
    again, _ = calibration_inputs(posed, 10)
    assert isinstance(again, torch.Tensor) and torch.equal(given, again)


def test_without_training_inputs_it_is_refused() -> None:
    posed = problem(SMALL["fc"])
    assert posed.data is not None
    alone = replace(posed.data, train_inputs=None, train_labels=None)
    with pytest.raises(ConfigError, match=r"set data\.calibration=FILE"):
        calibration_inputs(replace(posed, data=alone), 10)
    with pytest.raises(ConfigError, match="add data=mnist"):
        calibration_inputs(replace(posed, data=None), 10)


def test_inputs_that_do_not_fit_into_memory_at_once_are_refused_with_a_remedy() -> None:
    posed, layers = problem(SMALL["fc"]), weight_layers(SMALL["fc"].make())

    def full(layer: WeightLayer, moments: np.ndarray) -> np.ndarray:
        raise MemoryError

    with pytest.raises(ConfigError, match=r"lower method\.compensation\.samples, or set .*follow=target"):
        replace_layers(posed, layers, SETTINGS, full, calibrated(posed))

    def broken(layer: WeightLayer, moments: np.ndarray) -> np.ndarray:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        replace_layers(posed, layers, SETTINGS, broken, calibrated(posed))
