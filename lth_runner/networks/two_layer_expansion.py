"""Random networks twice as deep as their target: each weight layer becomes two random ones and an activation."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.networks.activations import RELU, Activation, PiecewiseLinear
from lth_runner.networks.attention import replaced_, unpack_
from lth_runner.networks.edges import EdgeLayer
from lth_runner.networks.interface import Architecture, Deviation, Masked, fill_
from lth_runner.networks.layers import WeightLayer, weight_layers

CHUNK = 1 << 22  # products worked out at a time


@dataclass(frozen=True, kw_only=True)
class TwoLayerExpansion:
    """y = gain * V (phi(U x) - phi(0)) in place of every layer y = W x of the target; U, V random, phi ReLU or another.

    phi(0) is taken off by a bias, -gain * phi(0) times the sum of each row of V: masks and seed decide it, nothing
    stores it. (In front of a convolution with padding it is the padding that is phi(0).) Near zero phi is linear on
    either side, and `Behaviour` bounds how nearly; small U make use of that, and large gains make up for small U.

    U ("split") has `n` rows for each input coordinate, or 2n where the layer is listed in `twins`: block j of the
    hidden neurons is meant for coordinate j. V ("sum") is fresh for every output. A convolution of the target becomes
    a 1x1 convolution U, then V with the target's kernel, stride, dilation and groups. A bias becomes one more input
    coordinate that is always 1, where a layer can take one (`WeightLayer.takes_constant`); elsewhere it is stored. So
    is all that is no linear or convolutional layer, or not listed in `gains`. Packed attentions are unpacked.

    Reference: arXiv:2006.07990, Theorem 1; da Cunha et al., ICLR 2022, for convolutions.

    Attributes:
        target: the architecture it stands for.
        n: hidden neurons per input coordinate and sign.
        twins: weight names of the layers whose input may be negative: negative inputs need neurons of their own.
        gains: by the weight name of every layer that is replaced, a fixed positive number that multiplies its output.
            ReLU is positively homogeneous: without biases the gains could all stand at the network's output.
        activation: phi; a ReLU is not named in files.
    """

    kind: ClassVar[str] = "two_layer_expansion"
    target: Architecture
    n: int
    twins: list[str]
    gains: dict[str, float]
    activation: Activation = RELU

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        check_replaced(self.target, self.twins, self.gains)

    @cached_property
    def layers(self) -> list[WeightLayer]:
        """The layers that are replaced."""
        return [layer for layer in weight_layers(self.target) if layer.weight in self.gains]

    def takes_negatives(self) -> bool:
        """Whether the first layer has neurons that serve negative inputs, or is the target's own."""
        first = weight_layers(self.target)[0].weight
        return first in self.twins or first not in self.gains or not self.activation.behaviour().has_kink

    def width(self, layer: WeightLayer) -> int:
        """Hidden neurons per input coordinate."""
        return self.n * (2 if layer.weight in self.twins else 1)

    @property
    def hidden_per_input(self) -> float:
        """See `Widened`; a constant input is one of them."""
        coordinates = [layer.inputs + has_constant(layer) for layer in self.layers]
        hidden = [count * self.width(layer) for count, layer in zip(coordinates, self.layers, strict=True)]
        return sum(hidden) / sum(coordinates)

    def module(self) -> torch.nn.Module:
        """The whole random network, dense."""
        module, _ = unpack_(self.target.module())
        for layer in self.layers:
            module = replaced_(module, layer.name, self._gadget(layer))
        return module

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The pruned network: the split layers as lists of kept edges, the sum layers as masked arrays.

        Hidden neurons without a kept edge are always 0 and are left out.
        """
        module, _ = unpack_(self.target.module())
        module = module.double()
        own = {f"{layer.name}.bias" for layer in self.layers}
        fill_(module, {name: array for name, array in stored.items() if name not in own})
        for layer in self.layers:
            with torch.device("meta"):
                gadget = self._gadget(layer)
            fill_gadget_(gadget, *(masked[f"{layer.name}.{which}.weight"] for which in ("split", "sum")))
            if gadget.bias is not None:
                gadget.bias = torch.nn.Parameter(torch.from_numpy(stored[f"{layer.name}.bias"]))
            module = replaced_(module, layer.name, gadget)
        return module.requires_grad_(False).eval()

    def readings(self, assembled: torch.nn.Module) -> dict[str, np.ndarray]:
        """What the pruned network multiplies its inputs with, by the target's parameter names, float64.

        A weight is read once for each sign of its input: gain * (sum over kept paths of b a m), with phi's slope m at
        zero on the side of a x; of a ReLU that leaves a > 0 for positive inputs and a < 0 for negative ones. Once only
        where the input is never negative, or phi has one slope. The constant behind a bias is positive, so a bias has
        one reading. Layers with tied weights are read one after the other. What phi adds where it is not linear is
        in no reading, but in `deviations`.

        Returns:
            (readings, *shape of the target's parameter).

        Raises:
            DataError: there are no such numbers: a hidden neuron with several edges, a constant that reaches past the
                image's border.
        """
        found: dict[str, np.ndarray] = {}
        for layer in self.layers:
            gadget = assembled.get_submodule(layer.name)
            assert isinstance(gadget, Gadget), "every layer with a gain was replaced by one"
            weights = self.gains[layer.weight] * products(gadget, 2 if layer.weight in self.twins else 1, layer.groups)
            found |= with_earlier(found, named(layer, weights, positive=1))
        return found

    def deviations(self, assembled: torch.nn.Module) -> dict[str, Deviation]:
        """See `NearlyLinear`."""
        if not self.activation.behaviour().curvature:
            return {}
        return {layer.name: deviation(layer, assembled.get_submodule(layer.name)) for layer in self.layers}

    def _gadget(self, layer: WeightLayer) -> "Gadget":
        coordinates = layer.inputs + has_constant(layer)
        hidden = coordinates * self.width(layer)
        return Gadget(layer, coordinates, hidden, layer.outputs, self.gains[layer.weight], self.activation)


def check_replaced(target: Architecture, twins: Collection[str], gains: Mapping[str, float]) -> None:
    """Refuses twins and gains that are not of the target's weight layers.

    Raises:
        ConfigError: an unknown name, twins of a layer that is not replaced, or a gain that is not positive.
    """
    names = [layer.weight for layer in weight_layers(target)]
    if not set(twins) <= set(gains) or not set(gains) <= set(names):
        raise ConfigError(f"twins and gains must name the target's weight layers {', '.join(names)}")
    for name, gain in gains.items():
        checks.positive(f"gains.{name}", gain)


class Gadget(torch.nn.Module):
    """gain * sum(phi(split(x)) - phi(0)), where x gets one more coordinate, 1, if that stands for the layer's bias.

    A bias that no constant can stand for is added at the end.
    """

    def __init__(
        self, layer: WeightLayer, coordinates: int, hidden: int, outputs: int, gain: float, activation: Activation
    ) -> None:
        super().__init__()
        self.gain = gain
        self.activation, self.behaviour = activation.module(), activation.behaviour()
        self.constant = has_constant(layer)
        flat = isinstance(layer.part, torch.nn.Linear)
        self.axis = -1 if flat else 1  # of the features, or channels
        split = torch.nn.Linear if flat else partial(torch.nn.Conv2d, kernel_size=1)
        self.split: Any = split(coordinates, hidden, bias=False)
        self.sum: Any = resized(layer.part, hidden, outputs)
        stored = layer.bias is not None and not self.constant
        self.bias = torch.nn.Parameter(torch.zeros(outputs)) if stored else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.constant:
            x = torch.cat((x, torch.ones_like(x.narrow(self.axis, 0, 1))), dim=self.axis)
        hidden = self.activation(self.split(x))
        if self.behaviour.at_zero:
            hidden = hidden - self.behaviour.at_zero
        y = self.gain * self.sum(hidden)
        return y if self.bias is None else y + self.bias.view(-1, *[1] * (x.ndim - 2 if self.axis == 1 else 0))


def has_constant(layer: WeightLayer) -> bool:
    """Whether the layer's bias becomes a coordinate that is always 1."""
    return layer.bias is not None and layer.takes_constant


def fill_gadget_(gadget: Gadget, split: Masked, total: Masked) -> None:
    """Puts the kept edges and the masked sums into a gadget without numbers, float64."""
    edges = split.edges()
    used = edges.used() if total.shape[1] == split.shape[0] else None  # the groups of a convolution must stay equal
    gadget.split = EdgeLayer(edges if used is None else edges.of(used), torch.float64, gadget.axis)
    gadget.sum.weight = torch.nn.Parameter(torch.from_numpy(total.dense(np.float64, used)))


def resized(part: Any, inputs: int, outputs: int) -> torch.nn.Module:
    """A layer of the same kind, kernel, stride, padding, dilation and groups, without a bias."""
    if isinstance(part, torch.nn.Linear):
        return torch.nn.Linear(inputs, outputs, bias=False)
    return torch.nn.Conv2d(
        inputs, outputs, part.kernel_size, part.stride, part.padding, part.dilation, part.groups, False,
        part.padding_mode,
    )  # fmt: skip


def named(layer: WeightLayer, weights: np.ndarray, positive: int) -> dict[str, np.ndarray]:
    """Readings of a layer by the target's names: the last coordinate is that of the bias, if there is one.

    Args:
        weights: (readings, outputs, coordinates, *kernel).
        positive: how many of the readings, the first ones, are those of positive inputs, as the constant is.

    Raises:
        DataError: the constant is used where the image's border cuts it off.
    """
    if layer.bias is None or not has_constant(layer):
        return {layer.weight: weights}
    constant = weights[:positive, :, -1]
    bias = constant[(slice(None), slice(None), *layer.center)]
    if np.count_nonzero(constant) > np.count_nonzero(bias):
        raise DataError(f"{layer.name}: the ticket uses its constant input beyond the kernel's middle tap")
    return {layer.bias: bias, layer.weight: weights[:, :, :-1]}


def with_earlier(found: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The new readings, behind the earlier ones of the same tensor: layers with tied weights are read one by one."""
    return {name: np.concatenate((found[name], array)) if name in found else array for name, array in new.items()}


def products(gadget: Gadget, readings: int, groups: int = 1) -> np.ndarray:
    """(readings, outputs, coordinates of a group, *kernel): what paths multiply an input with, summed over those kept.

    Second weights times first, times the slope at zero on the side where positive inputs, or negative ones, lead.

    Raises:
        DataError: a hidden neuron keeps several edges, so that no such numbers exist.
    """
    first, known = _own_edges(gadget), gadget.behaviour
    sides = [(known.positive, known.negative), (known.negative, known.positive)][:readings]
    return _through(gadget, [first * np.where(first > 0, above, below) for above, below in sides], groups)


def deviation(layer: WeightLayer, gadget: Any) -> Deviation:
    """What the paths of one layer may add where their function is not linear.

    Raises:
        DataError: as of `products`.
    """
    assert isinstance(gadget, Gadget), "every layer that is replaced is replaced by one"
    known = gadget.behaviour
    first = known.curvature * np.abs(_own_edges(gadget)) ** known.order
    factor = gadget.gain * _through(gadget, [first], layer.groups, absolute=True)
    parts = named(layer, factor, positive=1)
    bias = parts[layer.bias][0] if layer.bias in parts else None
    return Deviation(order=known.order, weight=parts[layer.weight][0], bias=bias)


def linearised_(module: torch.nn.Module) -> torch.nn.Module:
    """The network whose added neurons are linear on either side of zero, as they are nearly: the limit of small U."""
    for part in module.modules():
        if isinstance(part, Gadget):
            part.activation = PiecewiseLinear(part.behaviour)
    return module


def _own_edges(gadget: Gadget) -> np.ndarray:
    """(hidden,) what each neuron multiplies the only coordinate that it sees with."""
    if len(gadget.split.source) > 1:
        raise DataError("the ticket keeps several edges of one hidden neuron: its paths do not add up to weights")
    return gadget.split.weight[0].numpy()


def _through(gadget: Gadget, firsts: Sequence[np.ndarray], groups: int, absolute: bool = False) -> np.ndarray:
    """(firsts, outputs, coordinates of a group, *kernel): second weights, or their sizes, times first, summed up."""
    from scipy.sparse import csr_array  # loaded by the runs that have such networks, not by all that know of them

    total, source = gadget.sum.weight.detach().numpy(), gadget.split.source[0].numpy()
    outputs, hidden, *kernel = total.shape  # hidden neurons of one group
    inputs, rows_each = gadget.split.inputs // groups, outputs // groups
    found = np.empty((len(firsts), outputs, inputs, *kernel))
    step = max(1, CHUNK * outputs // max(1, total.size))
    for group in range(groups):
        source_of = source[group * hidden :][:hidden] - group * inputs
        for reading, weight in enumerate(firsts):
            own = weight[group * hidden :][:hidden]
            kept = np.flatnonzero(own)
            first = csr_array((own[kept], (source_of[kept], kept)), shape=(inputs, hidden))
            for start in range(group * rows_each, (group + 1) * rows_each, step):
                rows = slice(start, min(start + step, (group + 1) * rows_each))
                columns = np.moveaxis(total[rows], 1, 0).reshape(hidden, -1)  # (hidden, rows * taps)
                columns = np.abs(columns) if absolute else columns
                found[reading, rows] = np.moveaxis((first @ columns).reshape(inputs, -1, *kernel), 0, 1)
    return found
