"""Random networks one layer deeper than their target: every hidden neuron has several copies, each of them random."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.activations import RELU, Activation
from lth_runner.networks.attention import replaced_
from lth_runner.networks.copy_flow import CopyFlow, copy_flow
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


@dataclass(frozen=True, kw_only=True)
class NeuronCopies:
    """The first layer becomes two as in `TwoLayerExpansion`, every other layer one random layer between copies.

    A copy approximates its neuron, so a target weight w is approximated by sums of weights from the `copies` copies of
    its input, with no products. Copy c of the neurons 0..d-1 is the c-th run of d channels. Outputs have one copy. A
    bias becomes one more coordinate, always 1, in every copy. Whatever the target does to its neurons one by one, or by
    pooling, happens to the copies alike, so that only the first layer's added neurons have to be linear near zero.

    Where the target adds two tensors, as a residual block adds F(h) to h, copy c of the one is added to copy c of the
    other: what is within d of h_j and what is within e of F(h)_j add up to what is within d + e of their sum. So an
    identity carries every copy on and needs neither weights nor a layer; a 1x1 convolution in its place is a layer
    between copies as any other. "First" is every layer that takes the network's own inputs, of which there are no
    copies; the last ones are those whose outputs no other layer takes.

    Reference: Burkholz, ICML and NeurIPS 2022.

    Attributes:
        target: the architecture it stands for; see `copy_flow` for those that it can be.
        n: hidden neurons per input coordinate and sign in the first layer.
        copies: of every hidden neuron of the target.
        twin: whether the first layer has neurons for negative inputs apart from those for positive ones.
        activation: of the first layer's added neurons; a ReLU is not named in files.
        gain: a fixed positive number that multiplies the first layer's outputs.
        scales: fixed positive numbers, 1 where none is named, that multiply the inputs of a layer behind the first, by
            the name of its weight, or its constants, by the name of its bias. With random numbers in the scale of the
            weights that sums of them stand for, differences between copies stay small.
    """

    kind: ClassVar[str] = "neuron_copies"
    target: Architecture
    n: int
    copies: int
    twin: bool
    activation: Activation = RELU
    gain: float = 1.0
    scales: dict[str, float] | None = None

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        checks.integer("copies", self.copies, at_least=1)
        checks.boolean("twin", self.twin)
        checks.positive("gain", self.gain)
        if not self.layers:
            raise ConfigError("the network has no linear or convolutional layer that could be approximated")
        layers = [layer for layer in self.layers if layer not in self.first]
        names = [name for layer in layers for name in (layer.weight, layer.bias) if name]
        for name, scale in (self.scales or {}).items():
            checks.choice("scales", name, names)
            checks.positive(f"scales.{name}", scale)

    @cached_property
    def layers(self) -> list[WeightLayer]:
        """Those of the target."""
        return weight_layers(self.target)

    @cached_property
    def flow(self) -> CopyFlow:
        """What of the target has copies."""
        able = (layer for layer in self.layers if layer.groups == 1 and (layer.bias is None or layer.takes_constant))
        return copy_flow(self.target, {layer.name for layer in able})

    @cached_property
    def first(self) -> list[WeightLayer]:
        """The layers that take the network's own inputs."""
        return [layer for layer in self.layers if not self.flow.layers[layer.name].before]

    @property
    def others(self) -> list[WeightLayer]:
        """The layers between copies."""
        return [layer for layer in self.layers if self.flow.layers[layer.name].before]

    def factors(self, layer: WeightLayer) -> tuple[float, float]:
        """What multiplies the inputs of a layer behind the first, and its constants."""
        scales = self.scales or {}
        return scales.get(layer.weight, 1.0), scales.get(layer.bias or "", 1.0)

    def takes_negatives(self) -> bool:
        """Whether the first layer has neurons that serve negative inputs."""
        return self.twin or not self.activation.behaviour().has_kink

    def copies_behind(self, layer: WeightLayer) -> int:
        """How often each output of a layer exists."""
        return self.copies if self.flow.layers[layer.name].behind else 1

    def module(self) -> torch.nn.Module:
        """The whole random network, dense."""
        return self._with_copies(self.target.module())

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The pruned network; hidden neurons of the first layer without a kept edge are always 0 and are left out."""
        module = self.target.module().double()
        fill_(module, stored)
        with torch.device("meta"):
            module = self._with_copies(module)
        for layer in self.first:
            gadget: Any = module.get_submodule(layer.name)
            fill_gadget_(gadget, *(masked[f"{layer.name}.{which}.weight"] for which in ("split", "sum")))
        for layer in self.others:
            copied: Any = module.get_submodule(layer.name)
            copied.sum.weight = torch.nn.Parameter(
                torch.from_numpy(masked[f"{layer.name}.sum.weight"].dense(np.float64))
            )
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
        found: dict[str, np.ndarray] = {}
        for layer in self.first:
            gadget = assembled.get_submodule(layer.name)
            assert isinstance(gadget, Gadget), "the first layer was replaced by one"
            weights = self.gain * products(gadget, 1 + self.twin)
            weights = weights.reshape(-1, layer.outputs, *weights.shape[2:])
            found |= with_earlier(found, named(layer, weights, positive=self.copies_behind(layer)))
        for layer in self.others:
            total = assembled.get_parameter(f"{layer.name}.sum.weight").numpy()
            copies, coordinates = self.copies_behind(layer), layer.inputs + has_constant(layer)
            summed = total.reshape(len(total), -1, coordinates, *layer.kernel).sum(axis=1)
            scale, constant = self.factors(layer)
            summed[:, : layer.inputs] *= scale
            summed[:, layer.inputs :] *= constant
            summed = summed.reshape(copies, layer.outputs, *summed.shape[1:])
            found |= with_earlier(found, named(layer, summed, positive=copies))
        return found

    def deviations(self, assembled: torch.nn.Module) -> dict[str, Deviation]:
        """Of the first layer, with an output for each copy; see `NearlyLinear`."""
        if not self.activation.behaviour().curvature:
            return {}
        return {layer.name: deviation(layer, assembled.get_submodule(layer.name)) for layer in self.first}

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
        summed = [assembled.get_parameter(f"{layer.name}.sum.weight").double().numpy() for layer in others]
        return [weights, *(self.factors(layer)[0] * total for layer, total in zip(others, summed, strict=True))]

    def _with_copies(self, module: torch.nn.Module) -> torch.nn.Module:
        """The target's module with random layers in the place of its own, without numbers in them."""
        for layer in self.first:
            module = replaced_(module, layer.name, self._gadget(layer))
        for layer in self.others:
            copied = CopiedLayer(layer, self.copies, self.copies_behind(layer), *self.factors(layer))
            module = replaced_(module, layer.name, copied)
        for path in self.flow.channels:
            module = replaced_(module, path, CopyByCopy(module.get_submodule(path), self.copies))
        return module

    def _gadget(self, first: WeightLayer) -> Gadget:
        coordinates = first.inputs + has_constant(first)
        hidden, outputs = coordinates * self.n * (1 + self.twin), first.outputs * self.copies_behind(first)
        return Gadget(first, coordinates, hidden, outputs, self.gain, self.activation)


class CopyByCopy(torch.nn.Module):
    """A part without weights that looks at all channels of a copy together, for every copy by itself."""

    def __init__(self, part: torch.nn.Module, copies: int) -> None:
        super().__init__()
        self.part, self.copies = part, copies

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        each = self.part(x.unflatten(1, (self.copies, -1)).flatten(0, 1))  # (N * copies, channels, ...)
        return each.unflatten(0, (-1, self.copies)).flatten(1, 2)


class CopiedLayer(torch.nn.Module):
    """A layer from every copy of its inputs, times a number, to every copy of its outputs.

    Each copy gets one more coordinate, always that of `constant`, for a bias.
    """

    def __init__(
        self, layer: WeightLayer, copies_before: int, copies_behind: int, scale: float, constant: float
    ) -> None:
        super().__init__()
        self.copies, self.scale = copies_before, scale
        self.constant = constant if has_constant(layer) else None
        inputs = copies_before * (layer.inputs + has_constant(layer))
        self.sum = resized(layer.part, inputs, copies_behind * layer.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.scale != 1:
            x = self.scale * x
        if self.constant is not None:
            x = x.unflatten(1, (self.copies, -1))  # (N, copies, channels, ...)
            x = torch.cat((x, torch.full_like(x[:, :, :1], self.constant)), dim=2).flatten(1, 2)
        return self.sum(x)
