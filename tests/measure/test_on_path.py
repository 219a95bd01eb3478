"""Weights on a path from an input to an output, against every path of tiny networks, enumerated pixel by pixel."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lth_runner.measure.on_path import on_path
from lth_runner.networks.activations import Tanh
from lth_runner.networks.chain_expansion import ChainExpansion
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.layers import weight_layers
from lth_runner.networks.redundant import RedundantLinear
from lth_runner.networks.sign_activations import Sign
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion

Edge = tuple[Hashable, Hashable, tuple[str, tuple[int, ...]] | None]  # from a node to a node, and whose weight it is
Rule = Callable[[str, Any, tuple[int, ...]], tuple[list[Edge], tuple[int, ...]]]  # path, layer, shape of its input


def linear(path: str, layer: nn.Linear, shape: tuple[int, ...]) -> tuple[list[Edge], tuple[int, ...]]:
    entries = [(o, i) for o in range(layer.out_features) for i in range(shape[0])]
    return [((i,), (o,), (f"{path}.weight", (o, i))) for o, i in entries if layer.weight[o, i] != 0], (
        layer.out_features,
    )


def convolution(path: str, layer: nn.Conv2d, shape: tuple[int, ...]) -> tuple[list[Edge], tuple[int, ...]]:
    (tall, wide), (down, right), (top, left) = layer.kernel_size, layer.stride, layer.padding
    assert isinstance(top, int) and isinstance(left, int)
    rows, columns = (shape[1] + 2 * top - tall) // down + 1, (shape[2] + 2 * left - wide) // right + 1
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    edges: list[Edge] = []
    for o, y, x, i, dy, dx in product(*map(range, (layer.out_channels, rows, columns, inputs, tall, wide))):
        source = (o // outputs * inputs + i, y * down - top + dy, x * right - left + dx)
        if layer.weight[o, i, dy, dx] != 0 and 0 <= source[1] < shape[1] and 0 <= source[2] < shape[2]:
            edges.append((source, (o, y, x), (f"{path}.weight", (o, i, dy, dx))))
    return edges, (layer.out_channels, rows, columns)


def pool(path: str, layer: nn.MaxPool2d, shape: tuple[int, ...]) -> tuple[list[Edge], tuple[int, ...]]:
    side = layer.kernel_size
    assert isinstance(side, int)
    rows, columns = shape[1] // side, shape[2] // side
    places = product(range(shape[0]), range(rows), range(columns), range(side), range(side))
    edges: list[Edge] = [((c, y * side + dy, x * side + dx), (c, y, x), None) for c, y, x, dy, dx in places]
    return edges, (shape[0], rows, columns)


def flatten(path: str, layer: nn.Flatten, shape: tuple[int, ...]) -> tuple[list[Edge], tuple[int, ...]]:
    places = list(product(*map(range, shape)))
    return [(place, (k,), None) for k, place in enumerate(places)], (len(places),)


def each(path: str, layer: nn.Module, shape: tuple[int, ...]) -> tuple[list[Edge], tuple[int, ...]]:
    return [(place, place, None) for place in product(*map(range, shape))], shape


RULES: dict[type, Rule] = {
    nn.Linear: linear, nn.Conv2d: convolution, nn.MaxPool2d: pool, nn.Flatten: flatten, nn.ReLU: each, nn.Tanh: each,
    nn.BatchNorm2d: each, nn.Dropout: each,
}  # fmt: skip


def every_path(layers: list[dict[Hashable, list[tuple[Hashable, Any]]]], node: Hashable) -> Iterator[list[Any]]:
    """The weights along every path from a node to an output."""
    if not layers:
        yield []
        return
    for following, weight in layers[0].get(node, []):
        for rest in every_path(layers[1:], following):
            yield [weight, *rest]


def by_enumeration(module: nn.Sequential, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    layers: list[dict[Hashable, list[tuple[Hashable, Any]]]] = []
    found: dict[str, np.ndarray] = {
        name: np.zeros(tensor.shape, bool) for name, tensor in module.named_parameters() if tensor.ndim > 1
    }
    inputs = list(product(*map(range, shape)))
    for path, layer in module.named_children():
        edges, shape = RULES[type(layer)](path, layer, shape)
        layers.append({})
        for source, sink, weight in edges:
            layers[-1].setdefault(source, []).append((sink, weight))
    for start in inputs:
        for weights in every_path(layers, start):
            for name, entry in filter(None, weights):
                found[name][entry] = True
    return found


@torch.no_grad()
def pruned(module: nn.Sequential, density: float, seed: int) -> nn.Sequential:
    """Weights of both signs, of which about so many are left."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
        parameter.mul_(torch.rand(parameter.shape, generator=generator) < density)
    return module


def fully_connected() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=False), nn.Tanh(), nn.Linear(3, 2))


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 2, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 4, 2, groups=2),
        nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(4, 2),
    )  # fmt: skip


NETWORKS: list[tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = [
    (fully_connected, (4,)),
    (convolutional, (1, 3, 3)),
    (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2, 2)), (1, 1, 1)),
    (lambda: nn.Sequential(nn.Conv2d(2, 3, 2, stride=2), nn.Flatten(), nn.Linear(12, 2)), (2, 5, 4)),
]


@pytest.mark.slow
@pytest.mark.parametrize("density", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize(("build", "shape"), NETWORKS)
def test_it_is_what_enumeration_finds(
    build: Callable[[], nn.Sequential], shape: tuple[int, ...], density: float
) -> None:
    for seed in range(8):
        module = pruned(build(), density, seed)
        found, expected = on_path(module, shape), by_enumeration(module, shape)
        assert found is not None and found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_a_tap_that_sees_only_padding_is_on_no_path() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1)
    torch.nn.init.ones_(layer.weight)
    found = on_path(nn.Sequential(layer), (1, 1, 1))
    assert found is not None
    np.testing.assert_array_equal(found["0.weight"], np.arange(9).reshape(1, 1, 3, 3) == 4)


@pytest.mark.parametrize("relu", [True, False])
def test_redundant_layers_are_two_layers(relu: bool) -> None:
    """Unit (k, i) sees input i alone."""
    for seed in range(8):
        module = pruned(
            nn.Sequential(RedundantLinear(3, 4, 2, relu), nn.ReLU(), RedundantLinear(4, 2, 2, relu)), 0.4, seed
        )
        plain = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 8), nn.Linear(8, 2))
        state = {}
        for k, layer in ((0, module.get_submodule("0")), (3, module.get_submodule("2"))):
            state[f"{k}.weight"] = torch.cat(
                [torch.diag(row) for row in layer.get_parameter("weight1")]
            )  # (r * in, in)
            state[f"{k + 1}.weight"] = layer.get_parameter("weight2")
        plain.load_state_dict(state, strict=False)
        found, expected = on_path(module, (3,)), by_enumeration(plain, (3,))
        assert found is not None
        for name, wide, narrow in (("0", "0", "1"), ("2", "3", "4")):
            np.testing.assert_array_equal(found[f"{name}.weight2"], expected[f"{narrow}.weight"])
            diagonal = expected[f"{wide}.weight"].reshape(2, -1, expected[f"{wide}.weight"].shape[1])
            np.testing.assert_array_equal(found[f"{name}.weight1"], np.diagonal(diagonal, axis1=1, axis2=2))


@dataclass(frozen=True, kw_only=True)
class OneConvolution:
    def module(self) -> nn.Module:
        return nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 2, 2, padding=1, bias=False)))


def as_convolutions(weights: list[torch.Tensor], channels: int) -> nn.Sequential:
    """The layers of a chain, block-diagonal ones in groups; what ends a linear chain has a kernel of 1, too."""
    parts: list[nn.Module] = []
    for weight in weights:
        kernel = weight if weight.ndim == 4 else weight.reshape(-1, weight.shape[-1], 1, 1)
        groups, padding = channels // kernel.shape[1], int(kernel.shape[2] > 1)
        parts.append(
            nn.Conv2d(channels, len(kernel), (kernel.shape[2], kernel.shape[3]), 1, padding, 1, groups, bias=False)
        )
        parts[-1].weight = nn.Parameter(kernel)
        channels = len(kernel)
    return nn.Sequential(*parts)


@pytest.mark.parametrize(
    ("target", "shape", "twins"),
    [
        (FullyConnected(inputs=2, hidden=1, outputs=2, depth=1, biases=True), (2,), ["fc1.weight"]),
        (FullyConnected(inputs=2, hidden=2, outputs=2, depth=2, biases=False), (2,), ["fc1.weight"]),
        (OneConvolution(), (2, 2, 2), []),
    ],
    ids=["constant", "two chains", "convolution"],
)
def test_chains_are_layers_of_blocks(target: Any, shape: tuple[int, ...], twins: list[str]) -> None:
    gains = {layer.weight: 2.0 for layer in weight_layers(target)}
    network = ChainExpansion(target=target, bits=2, doublings=1, first=1, copies=1, twins=twins, gains=gains)
    names = [name for layer in network.layers for name in network.random_names(layer)]
    for seed in range(8):
        module: Any = pruned(network.module(), 0.7, seed)  # pyright: ignore[reportArgumentType]
        channels = module.get_submodule(network.layers[0].name).coordinates  # one more is always 1 where it has a bias
        plain = as_convolutions([module.get_parameter(name) for name in names], channels)
        found, expected = on_path(module, shape), by_enumeration(plain, (channels, *(shape[1:] or (1, 1))))
        assert found is not None and found.keys() == set(names)
        for name, entries in zip(names, expected.values(), strict=True):
            np.testing.assert_array_equal(found[name].ravel(), entries.ravel(), err_msg=name)


def test_many_paths_of_a_chain_do_not_overflow() -> None:
    """About 10^42 of them in one layer, through and beside weights that are pruned."""
    target = FullyConnected(inputs=1, hidden=1, outputs=1, depth=1, biases=False)
    network = ChainExpansion(
        target=target, bits=30, doublings=1, first=40, copies=40, twins=[], gains={"fc1.weight": 1.0}
    )
    module: Any = pruned(network.module(), 0.5, 0)  # pyright: ignore[reportArgumentType]
    split, first, *_, last, total = names = network.random_names(network.layers[0])
    found = on_path(module, (1,))
    assert found is not None
    expected = {name: module.get_parameter(name).detach().numpy() != 0 for name in names}
    expected[first] &= expected[split].reshape(1, 1, -1)  # nothing reaches the others
    expected[last] &= expected[total].reshape(1, -1, 1)  # nothing reads the others
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_signs_are_taken_entry_by_entry() -> None:
    """As the ReLUs in whose place they stand."""
    for seed in range(8):
        module = pruned(fully_connected(), 0.5, seed)
        found = on_path(nn.Sequential(*(Sign() if isinstance(part, nn.ReLU) else part for part in module)), (4,))
        assert found is not None
        for name, entries in by_enumeration(module, (4,)).items():
            np.testing.assert_array_equal(found[name], entries, err_msg=name)


def test_a_layer_used_twice_has_the_paths_of_both_uses() -> None:
    shared = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        shared.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    head = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0]]))
    found = on_path(nn.Sequential(shared, shared, head), (2,))
    assert found is not None
    assert found["0.weight"].tolist() == [[False, True], [True, False]], "by way of one use each"
    assert found["2.weight"].tolist() == [[True, False]]


def test_many_paths_do_not_overflow() -> None:
    """About 10^56 of them, more than a float32 holds, through and beside weights that are pruned."""
    module = pruned(nn.Sequential(*(nn.Linear(50, 50) for _ in range(40))), 0.5, 0)
    found = on_path(module, (50,))
    assert found is not None
    for name, entries in found.items():
        np.testing.assert_array_equal(entries, module.get_parameter(name).detach().numpy() != 0)


def test_the_module_is_left_as_it_was() -> None:
    module = pruned(convolutional(), 0.5, 0)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    on_path(module, (1, 3, 3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


class Residual(nn.Sequential):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input + super().forward(input)


@pytest.mark.parametrize(
    "module",
    [Residual(nn.Linear(2, 2)), nn.Bilinear(2, 2, 2), nn.Sequential(nn.LayerNorm(2)),
     nn.Sequential(nn.Linear(2, 2), Residual(nn.Linear(2, 2))), nn.Sequential(nn.MaxPool2d(2, dilation=2))],
)  # fmt: skip
def test_of_other_networks_it_is_not_known(module: nn.Module) -> None:
    assert on_path(module, (2,)) is None


def test_saturated_neurons_lie_on_paths_all_the_same() -> None:
    """The signal of 200 edges is 200, where tanh is flat."""
    target = FullyConnected(inputs=200, hidden=1, outputs=2, depth=1, biases=False)
    network = TwoLayerExpansion(target=target, n=1, twins=[], gains={"fc1.weight": 1.0}, activation=Tanh())
    module = network.module()
    found = on_path(module, (200,))
    assert found is not None
    assert {name: int(lies.sum()) for name, lies in found.items()} == {
        "fc1.split.weight": 200 * 200,
        "fc1.sum.weight": 2 * 200,
    }
    assert isinstance(module.get_submodule("fc1.activation"), nn.Tanh), "the network itself stays what it is"
