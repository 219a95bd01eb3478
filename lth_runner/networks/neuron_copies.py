"""Random networks one layer deeper than their target: every hidden neuron has several copies, each of them random."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.activations import RELU, Activation, activation_of
from lth_runner.networks.attention import replaced_
from lth_runner.networks.interface import Architecture, Deviation, Masked, fill_
from lth_runner.networks.layers import WeightLayer, sequence, weight_layers
from lth_runner.networks.two_layer_expansion import (
    Gadget,
    deviation,
    fill_gadget_,
    has_constant,
    named,
    products,
    resized,
    with_earlier,
)

ONE_BY_ONE = (  # beside the activations that are known by their behaviour
    torch.nn.ReLU6, torch.nn.ELU, torch.nn.GELU, torch.nn.LeakyReLU, torch.nn.Softplus, torch.nn.Hardsigmoid,
    torch.nn.Identity, torch.nn.Dropout, torch.nn.Flatten, torch.nn.MaxPool1d, torch.nn.MaxPool2d, torch.nn.AvgPool1d,
    torch.nn.AvgPool2d, torch.nn.AdaptiveAvgPool1d, torch.nn.AdaptiveAvgPool2d, torch.nn.AdaptiveMaxPool2d,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NeuronCopies:
    """The first layer becomes two as in `TwoLayerExpansion`, every other layer one random layer between copies.

    A copy approximates its neuron, so a target weight w is approximated by sums of weights from the `copies` copies of
    its input, with no products. Copy c of the neurons 0..d-1 is the c-th run of d channels. Outputs have one copy. A
    bias becomes one more coordinate, always 1, in every copy. Whatever the target does to its neurons one by one, or by
    pooling, happens to the copies alike, so that only the first layer's added neurons have to be linear near zero.

    Reference: Burkholz, ICML and NeurIPS 2022.

    Attributes:
        target: the architecture it stands for: a plain sequence of layers.
        n: hidden neurons per input coordinate and sign in the first layer.
        copies: of every hidden neuron of the target.
        twin: whether the first layer has neurons for negative inputs apart from those for positive ones.
        activation: of the first layer's added neurons; a ReLU is not named in files.
        gain: a fixed positive number that multiplies the first layer's outputs.
    """

    kind: ClassVar[str] = "neuron_copies"
    target: Architecture
    n: int
    copies: int
    twin: bool
    activation: Activation = RELU
    gain: float = 1.0

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        checks.integer("copies", self.copies, at_least=1)
        checks.boolean("twin", self.twin)
        checks.positive("gain", self.gain)
        parts = sequence(self.target)
        if not self.layers:
            raise ConfigError("the network has no linear or convolutional layer that could be approximated")
        known = {
            layer.name for layer in self.layers if layer.groups == 1 and (layer.bias is None or layer.takes_constant)
        }
        if strange := [
            name for name, part in parts.items() if name not in known and any(True for _ in part.parameters())
        ]:
            raise ConfigError(
                f"copies of neurons need linear layers and plain convolutions, and {strange[0]} is neither: take "
                "method=pensia, which replaces every layer where it stands"
            )
        between = [part for name, part in parts.items() if name not in known]
        if mixing := [part for part in between if not isinstance(part, ONE_BY_ONE) and activation_of(part) is None]:
            raise ConfigError(
                f"copies of neurons pass only what takes neurons one by one, and {type(mixing[0]).__name__} does not: "
                "take method=pensia"
            )

    @cached_property
    def layers(self) -> list[WeightLayer]:
        """Those of the target."""
        return weight_layers(self.target)

    def takes_negatives(self) -> bool:
        """Whether the first layer has neurons that serve negative inputs."""
        return self.twin or not self.activation.behaviour().has_kink

    def copies_behind(self, layer: WeightLayer) -> int:
        """How often each output of a layer exists."""
        return 1 if layer.name == self.layers[-1].name else self.copies

    def module(self) -> torch.nn.Module:
        """The whole random network, dense."""
        module = replaced_(self.target.module(), self.layers[0].name, self._gadget())
        for layer in self.layers[1:]:
            module = replaced_(module, layer.name, CopiedLayer(layer, self.copies, self.copies_behind(layer)))
        return module

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The pruned network; hidden neurons of the first layer without a kept edge are always 0 and are left out."""
        module = self.target.module().double()
        fill_(module, stored)
        first, *others = self.layers
        with torch.device("meta"):
            gadget = self._gadget()
            copied = {layer.name: CopiedLayer(layer, self.copies, self.copies_behind(layer)) for layer in others}
        fill_gadget_(gadget, *(masked[f"{first.name}.{which}.weight"] for which in ("split", "sum")))
        module = replaced_(module, first.name, gadget)
        for name, layer in copied.items():
            layer.sum.weight = torch.nn.Parameter(torch.from_numpy(masked[f"{name}.sum.weight"].dense(np.float64)))
            module = replaced_(module, name, layer)
        return module.requires_grad_(False).eval()

    def readings(self, assembled: torch.nn.Module) -> dict[str, np.ndarray]:
        """What stands for each target weight, once per copy of the neuron it leads to, float64.

        In the first layer a copy's readings are those of `TwoLayerExpansion`, positive inputs first; behind it they are
        sums over the copies of the input. These copies differ, so that unlike there the network is not the target's
        architecture with other weights, but close to it.

        Returns:
            (readings, *shape of the target's parameter).

        Raises:
            DataError: there are no such numbers.
        """
        first, *others = self.layers
        gadget = assembled.get_submodule(first.name)
        assert isinstance(gadget, Gadget), "the first layer was replaced by one"
        copies = self.copies_behind(first)
        weights = self.gain * products(gadget, 1 + self.twin)
        found = named(first, weights.reshape(-1, first.outputs, *weights.shape[2:]), positive=copies)
        for layer in others:
            total = assembled.get_parameter(f"{layer.name}.sum.weight").numpy()
            copies, coordinates = self.copies_behind(layer), layer.inputs + has_constant(layer)
            summed = total.reshape(len(total), -1, coordinates, *layer.kernel).sum(axis=1)
            summed = summed.reshape(copies, layer.outputs, *summed.shape[1:])
            found |= with_earlier(found, named(layer, summed, positive=copies))
        return found

    def deviations(self, assembled: torch.nn.Module) -> dict[str, Deviation]:
        """Of the first layer, with an output for each copy; see `NearlyLinear`."""
        first = self.layers[0]
        if not self.activation.behaviour().curvature:
            return {}
        return {first.name: deviation(first, assembled.get_submodule(first.name))}

    def multipliers(self, assembled: torch.nn.Module) -> list[np.ndarray]:
        """What each layer multiplies the copies of its inputs with, for all copies of its outputs, copy by copy.

        Returns:
            (copies behind * outputs, copies before * inputs) each, float64; the network's inputs have one copy.

        Raises:
            ConfigError: layers that are no plain matrices: convolutions, biases, or a first layer that treats negative
                inputs otherwise; or something else than ReLU between them.
        """
        weighted = {layer.name for layer in self.layers}
        between = [part for name, part in sequence(self.target).items() if name not in weighted]
        plain = all(isinstance(part, torch.nn.ReLU | torch.nn.Flatten) for part in between) and self.activation == RELU
        if self.twin or not plain or any(layer.kernel or layer.bias for layer in self.layers):
            raise ConfigError(
                "a network with copies of its neurons is made of matrices and ReLUs alone only if it is fully "
                "connected, without biases and without neurons for negative inputs: leave burkholz out"
            )
        first, *others = self.layers
        weights = self.readings(assembled)[first.weight].reshape(-1, first.inputs)
        return [weights, *(assembled.get_parameter(f"{layer.name}.sum.weight").double().numpy() for layer in others)]

    def _gadget(self) -> Gadget:
        first = self.layers[0]
        coordinates = first.inputs + has_constant(first)
        hidden, outputs = coordinates * self.n * (1 + self.twin), first.outputs * self.copies_behind(first)
        return Gadget(first, coordinates, hidden, outputs, self.gain, self.activation)


class CopiedLayer(torch.nn.Module):
    """A layer from every copy of its inputs to every copy of its outputs; each copy gets a constant 1 for a bias."""

    def __init__(self, layer: WeightLayer, copies_before: int, copies_behind: int) -> None:
        super().__init__()
        self.copies = copies_before
        self.constant = has_constant(layer)
        inputs = copies_before * (layer.inputs + self.constant)
        self.sum = resized(layer.part, inputs, copies_behind * layer.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.constant:
            x = x.unflatten(1, (self.copies, -1))  # (N, copies, channels, ...)
            x = torch.cat((x, torch.ones_like(x[:, :, :1])), dim=2).flatten(1, 2)
        return self.sum(x)
