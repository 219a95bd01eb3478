"""Random networks one layer deeper than their target: every hidden neuron has several copies, each of them random."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.networks.edges import EdgeLayer
from lth_runner.networks.interface import Architecture, Masked, parameter_shapes
from lth_runner.networks.layers import WeightLayer, parts, weight_layers
from lth_runner.networks.two_layer_expansion import NUMPY, Gadget, named, products, resized


@dataclass(frozen=True, kw_only=True)
class NeuronCopies:
    """The first layer becomes V relu(U x) as in `TwoLayerExpansion`, every other layer one random layer between copies.

    A copy approximates its neuron, so a target weight w is approximated by sums of weights from the `copies` copies of
    its input, with no products. Copy c of the neurons 0..d-1 is the c-th run of d channels. Outputs have one copy. A
    bias becomes one more coordinate, always 1, in every copy.

    Reference: Burkholz, ICML and NeurIPS 2022.

    Attributes:
        target: the architecture it stands for.
        n: hidden neurons per input coordinate and sign in the first layer.
        copies: of every hidden neuron of the target.
        twin: whether the first layer's input may be negative.
    """

    target: Architecture
    n: int
    copies: int
    twin: bool

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        checks.integer("copies", self.copies, at_least=1)
        checks.boolean("twin", self.twin)
        if not all(layer.after_relu for layer in weight_layers(self.target)[1:]):
            raise ConfigError("copies of neurons need a ReLU between all weight layers of the target")

    def copies_behind(self, layer: WeightLayer) -> int:
        """How often each output of a layer exists."""
        return 1 if layer.name == weight_layers(self.target)[-1].name else self.copies

    def module(self) -> torch.nn.Module:
        """The whole random network, dense."""
        first, *others = weight_layers(self.target)
        coordinates = first.inputs + (first.bias is not None)
        hidden, outputs = coordinates * self.n * (1 + self.twin), first.outputs * self.copies_behind(first)
        replaced: dict[str, torch.nn.Module] = {first.name: Gadget(first.part, coordinates, hidden, outputs, 1.0)}
        for layer in others:
            replaced[layer.name] = CopiedLayer(layer, self.copies, self.copies_behind(layer))
        return torch.nn.Sequential(OrderedDict(parts(self.target) | replaced))

    def assembled(self, masked: Mapping[str, Masked], dtype: torch.dtype) -> torch.nn.Module:
        """The pruned network; hidden neurons of the first layer without a kept edge are always 0 and are left out.

        Raises:
            DataError: the masks are not those of this network.
        """
        self._check(masked)
        with torch.device("meta"):
            module = self.module()
        first, *others = weight_layers(self.target)
        edges = masked[f"{first.name}.split.weight"].edges()
        gadget = module.get_submodule(first.name)
        assert isinstance(gadget, Gadget), "the first layer was replaced by one"
        gadget.split = EdgeLayer(edges.of(edges.used()), dtype)
        total = masked[f"{first.name}.sum.weight"].dense(NUMPY[dtype], edges.used())
        gadget.sum.weight = torch.nn.Parameter(torch.from_numpy(total))
        for layer in others:
            name = f"{layer.name}.sum"
            weight = torch.from_numpy(masked[f"{name}.weight"].dense(NUMPY[dtype]))
            module.get_submodule(name).weight = torch.nn.Parameter(weight)
        return module.requires_grad_(False).eval()

    def effective(self, masked: Mapping[str, Masked]) -> dict[str, np.ndarray]:
        """What stands for each target weight, once per copy of the neuron it leads to, float64.

        In the first layer a copy's readings are those of `TwoLayerExpansion`, positive inputs first; behind it they are
        sums over the copies of the input. These copies differ, so that unlike there the network is not the target's
        architecture with other weights, but close to it.

        Returns:
            (readings, *shape of the target's parameter).

        Raises:
            DataError: the masks are not those of this network, or leave no such numbers.
        """
        self._check(masked)
        first, *others = weight_layers(self.target)
        split, total = masked[f"{first.name}.split.weight"], masked[f"{first.name}.sum.weight"]
        copies = self.copies_behind(first)
        weights = products(split, total, 1 + self.twin)
        found = named(first, weights.reshape(-1, first.outputs, *weights.shape[2:]), positive=copies)
        for layer in others:
            tensor, copies = masked[f"{layer.name}.sum.weight"], self.copies_behind(layer)
            coordinates = layer.inputs + (layer.bias is not None)
            summed = np.empty((tensor.shape[0], coordinates, *layer.kernel))
            for rows, block in tensor.blocks():
                summed[rows] = block.reshape(len(block), -1, coordinates, *layer.kernel).sum(axis=1)
            found |= named(layer, summed.reshape(copies, layer.outputs, *summed.shape[1:]), positive=copies)
        return found

    def _check(self, masked: Mapping[str, Masked]) -> None:
        found = {name: tensor.shape for name, tensor in masked.items()}
        if found != parameter_shapes(self):
            raise DataError(f"the ticket's masks have shapes {found}, its random network {parameter_shapes(self)}")


class CopiedLayer(torch.nn.Module):
    """A layer from every copy of its inputs to every copy of its outputs; each copy gets a constant 1 for a bias."""

    def __init__(self, layer: WeightLayer, copies_before: int, copies_behind: int) -> None:
        super().__init__()
        self.copies = copies_before
        self.constant = layer.bias is not None
        inputs = copies_before * (layer.inputs + self.constant)
        self.sum = resized(layer.part, inputs, copies_behind * layer.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.constant:
            x = x.unflatten(1, (self.copies, -1))  # (N, copies, channels, ...)
            x = torch.cat((x, torch.ones_like(x[:, :, :1])), dim=2).flatten(1, 2)
        return self.sum(x)
