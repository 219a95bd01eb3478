"""The paper's structures: published sizes, and the folded matrix against the layer as it is written."""

import math

import pytest
import torch

from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.networks.redundant import RedundantFullyConnected, RedundantLinear, branches, fold

MNIST = {"inputs": 784, "outputs": 10}
LENET = {"outputs": 10, "relu": False, "biases": False}
SIZES: list[tuple[Architecture, int]] = [
    (FullyConnected(**MNIST, hidden=500, depth=2, biases=False), 397_000),
    (FullyConnected(**MNIST, hidden=2508, depth=2, biases=False), 1_991_352),
    (RedundantFullyConnected(**MNIST, hidden=500, depth=2, redundancy=5, relu=False), 1_991_420),
    (FullyConnected(**MNIST, hidden=500, depth=4, biases=False), 897_000),
    (FullyConnected(**MNIST, hidden=1314, depth=4, biases=False), 4_496_508),
    (RedundantFullyConnected(**MNIST, hidden=500, depth=4, redundancy=5, relu=True), 4_496_420),
    (LeNet5(**LENET, hidden=(120, 84), redundancy=0), 58_920),
    (LeNet5(**LENET, hidden=(378, 378), redundancy=0), 297_864),
    (LeNet5(**LENET, hidden=(120, 84), redundancy=5), 297_620),
]


@pytest.mark.parametrize(("network", "size"), SIZES)
def test_published_number_of_weights(network: Architecture, size: int) -> None:
    linear = {name: shape for name, shape in parameter_shapes(network).items() if name.startswith("fc")}
    assert sum(math.prod(shape) for shape in linear.values()) == size


@pytest.mark.parametrize(("network", "size"), SIZES)
def test_module_has_the_stated_parameters_and_takes_images(network: Architecture, size: int) -> None:
    del size
    module = network.module()
    assert {name: tuple(value.shape) for name, value in module.named_parameters()} == parameter_shapes(network)
    assert module(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_lenet5_has_the_published_convolutions() -> None:
    shapes = parameter_shapes(LeNet5(**LENET, hidden=(120, 84), redundancy=0))
    assert sum(math.prod(shapes[f"conv{i}.weight"]) for i in (1, 2)) == 2_550


@pytest.mark.parametrize("relu", [False, True])
def test_folded_matrix_is_the_layer_and_has_its_gradients(relu: bool) -> None:
    torch.manual_seed(0)
    layer = RedundantLinear(7, 4, 3, relu).double()
    torch.nn.init.normal_(layer.weight1)
    torch.nn.init.normal_(layer.weight2)
    layer.weight1.data[0, :3] = 0  # pruned: behind a ReLU these get no gradient
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(5, 4, dtype=torch.float64)
    folded = torch.nn.functional.linear(branches(x, relu), fold(layer.weight1, layer.weight2, relu))
    written = layer(x)
    torch.testing.assert_close(folded, written)
    for result, reference in zip(
        torch.autograd.grad(folded, (x, layer.weight1, layer.weight2), wanted),
        torch.autograd.grad(written, (x, layer.weight1, layer.weight2), wanted),
        strict=True,
    ):
        torch.testing.assert_close(result, reference)
