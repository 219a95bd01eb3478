"""Depths of networks that everybody can count, and of what constructions make of them."""

import pytest
import torch
from torch import nn

from lth_runner.measure.depth import depth
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.folding import BatchNormFolded
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import Architecture
from lth_runner.networks.layers import weight_layers
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.networks.resnet import ResNet
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion

RESNET = BatchNormFolded(original=ResNet(channels=1, width=2, blocks=3, outputs=4, shortcut="projection"))
FC = FullyConnected(inputs=4, hidden=5, outputs=3, depth=4, biases=True)


@pytest.mark.parametrize(("network", "layers"), [(RESNET, 20), (FC, 4)])
def test_copies_are_one_deeper_and_pairs_twice_as_deep(network: Architecture, layers: int) -> None:
    """The 1x1 convolutions beside a block are on shorter paths."""
    names = [layer.weight for layer in weight_layers(network)]
    doubled = TwoLayerExpansion(target=network, n=2, twins=names, gains=dict.fromkeys(names, 1.0))
    assert depth(network) == layers
    assert depth(NeuronCopies(target=network, n=2, copies=3, twin=True)) == layers + 1
    assert depth(doubled) == 2 * layers


def test_a_network_that_nobody_can_follow_has_no_known_depth() -> None:
    class Fork(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    assert depth(Instance.of(Fork())) is None


def test_every_kind_of_convolution_is_a_layer() -> None:
    layers = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Conv1d(2, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    assert depth(Instance.of(layers)) == 3
