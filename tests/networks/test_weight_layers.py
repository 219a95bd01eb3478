"""Which networks can be taken apart layer by layer, and what their layers are."""

from dataclasses import dataclass

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.layers import weight_layers
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.networks.redundant import RedundantFullyConnected


@dataclass(frozen=True, kw_only=True)
class Given:
    """Whatever layers a test names."""

    layers: tuple[torch.nn.Module, ...]

    def module(self) -> torch.nn.Module:
        return torch.nn.Sequential(*self.layers)


def lenet5(biases: bool, redundancy: int = 0) -> LeNet5:
    return LeNet5(hidden=(120, 84), outputs=10, redundancy=redundancy, relu=False, biases=biases)


def test_lenet5_has_its_five_layers_and_its_count_of_weights() -> None:
    layers = weight_layers(lenet5(biases=True))
    assert [layer.name for layer in layers] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert [layer.after_relu for layer in layers] == [
        False,
        True,
        True,
        True,
        True,
    ]  # pooling and flattening keep signs
    assert [layer.bias for layer in layers][:3] == ["conv1.bias", "conv2.bias", "fc1.bias"]
    assert (layers[0].kernel, layers[0].center, layers[2].kernel) == ((5, 5), (2, 2), ())
    network = lenet5(biases=True)
    assert parameter_shapes(network) == {
        name: tuple(value.shape) for name, value in network.module().state_dict().items()
    }
    assert sum(value.numel() for value in network.module().parameters()) == 61_706
    assert sum(value.numel() for value in lenet5(biases=False).module().parameters()) == 61_470
    with pytest.raises(ConfigError, match=r"network\.redundancy=0 only"):
        lenet5(biases=True, redundancy=2)


def test_without_relu_the_next_input_may_be_negative() -> None:
    network = Given(layers=(torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)))
    assert [layer.after_relu for layer in weight_layers(network)] == [False, False, False]
    assert [
        layer.bias for layer in weight_layers(FullyConnected(inputs=2, hidden=2, outputs=2, depth=1, biases=False))
    ] == [None]


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(4, 4, 3, groups=2),
        torch.nn.Conv2d(4, 4, 3, dilation=2),
        torch.nn.Conv2d(4, 4, 3, padding=2),  # the middle tap would fall on the padding
        torch.nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        torch.nn.BatchNorm2d(4),
    ],
)
def test_layers_without_a_known_construction_are_refused(layer: torch.nn.Module) -> None:
    with pytest.raises(ConfigError, match="neither linear nor a plain convolution"):
        weight_layers(Given(layers=(layer,)))


def test_networks_that_are_no_plain_sequence_are_refused() -> None:
    redundant = RedundantFullyConnected(inputs=2, hidden=2, outputs=2, depth=2, redundancy=2, relu=True)
    with pytest.raises(ConfigError, match="neither linear nor a plain convolution"):
        weight_layers(redundant)

    class Opaque(FullyConnected):
        def module(self) -> torch.nn.Module:
            return torch.nn.Linear(2, 2)

    with pytest.raises(ConfigError, match="no sequence of layers"):
        weight_layers(Opaque(inputs=2, hidden=2, outputs=2, depth=1, biases=False))
