"""Random networks twice as deep as their target: each weight layer becomes two random ones with a ReLU between."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.networks.edges import EdgeLayer
from lth_runner.networks.interface import Architecture, Masked, parameter_shapes
from lth_runner.networks.layers import WeightLayer, parts, weight_layers

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


@dataclass(frozen=True, kw_only=True)
class TwoLayerExpansion:
    """y = gain * V relu(U x) in place of every layer y = W x of the target; U and V random.

    U ("split") has `n` rows for each input coordinate, or 2n where the layer is listed in `twins`: block j of the
    hidden neurons is meant for coordinate j. V ("sum") is fresh for every output. A convolution of the target becomes
    a 1x1 convolution U, then V with the target's kernel. A bias becomes one more input coordinate that is always 1.

    Reference: arXiv:2006.07990, Theorem 1; da Cunha et al., ICLR 2022, for convolutions.

    Attributes:
        target: the architecture it stands for.
        n: hidden neurons per input coordinate and sign.
        twins: weight names of the layers whose input may be negative: negative inputs need neurons of their own.
        gains: by weight name, a fixed positive number that multiplies the layer's output. ReLU is positively
            homogeneous: without biases the gains could all stand at the network's output.
    """

    target: Architecture
    n: int
    twins: list[str]
    gains: dict[str, float]

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        names = [layer.weight for layer in weight_layers(self.target)]
        if not set(self.twins) <= set(names) or set(self.gains) != set(names):
            raise ConfigError(f"twins and gains must name the target's weight layers {', '.join(names)}")
        for name, gain in self.gains.items():
            checks.positive(f"gains.{name}", gain)

    def width(self, layer: WeightLayer) -> int:
        """Hidden neurons per input coordinate."""
        return self.n * (2 if layer.weight in self.twins else 1)

    def module(self) -> torch.nn.Module:
        """The whole random network, dense."""
        gadgets = {layer.name: self._gadget(layer) for layer in weight_layers(self.target)}
        return torch.nn.Sequential(OrderedDict(parts(self.target) | gadgets))

    def assembled(self, masked: Mapping[str, Masked], dtype: torch.dtype) -> torch.nn.Module:
        """The pruned network: the split layers as lists of kept edges, the sum layers as masked arrays.

        Hidden neurons without a kept edge are always 0 and are left out.

        Raises:
            DataError: the masks are not those of this network.
        """
        self._check(masked)
        with torch.device("meta"):
            module = self.module()
        for layer in weight_layers(self.target):
            gadget = module.get_submodule(layer.name)
            assert isinstance(gadget, Gadget), "every weight layer was replaced"
            split, total = masked[f"{layer.name}.split.weight"], masked[f"{layer.name}.sum.weight"]
            edges = split.edges()
            used = edges.used()
            gadget.split = EdgeLayer(edges.of(used), dtype)
            gadget.sum.weight = torch.nn.Parameter(torch.from_numpy(total.dense(NUMPY[dtype], used)))
        return module.requires_grad_(False).eval()

    def effective(self, masked: Mapping[str, Masked]) -> dict[str, np.ndarray]:
        """What the pruned network multiplies its inputs with, by the target's parameter names, float64.

        A weight is read once for each sign of its input: gain * (sum over kept paths of b a), over a > 0 for positive
        inputs and over a < 0 for negative ones; once only where the input is never negative. The constant behind a bias
        is positive, so a bias has one reading.

        Returns:
            (readings, *shape of the target's parameter).

        Raises:
            DataError: the masks are not those of this network, or leave no such numbers: a hidden neuron with several
                edges, a constant that reaches past the image's border.
        """
        self._check(masked)
        found: dict[str, np.ndarray] = {}
        for layer in weight_layers(self.target):
            split, total = masked[f"{layer.name}.split.weight"], masked[f"{layer.name}.sum.weight"]
            readings = 2 if layer.weight in self.twins else 1
            weights = self.gains[layer.weight] * products(split, total, readings)
            found |= named(layer, weights, positive=1)
        return found

    def _gadget(self, layer: WeightLayer) -> "Gadget":
        coordinates = layer.inputs + (layer.bias is not None)
        hidden = coordinates * self.width(layer)
        return Gadget(layer.part, coordinates, hidden, layer.outputs, self.gains[layer.weight])

    def _check(self, masked: Mapping[str, Masked]) -> None:
        found = {name: tensor.shape for name, tensor in masked.items()}
        if found != parameter_shapes(self):
            raise DataError(f"the ticket's masks have shapes {found}, its random network {parameter_shapes(self)}")


class Gadget(torch.nn.Module):
    """gain * sum(relu(split(x))), where x gets one more coordinate, 1, if `part` has a bias."""

    def __init__(self, part: Any, coordinates: int, hidden: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.constant = part.bias is not None
        flat = isinstance(part, torch.nn.Linear)
        split = torch.nn.Linear if flat else partial(torch.nn.Conv2d, kernel_size=1)
        self.split: Any = split(coordinates, hidden, bias=False)
        self.sum: Any = resized(part, hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.constant:
            x = torch.cat((x, torch.ones_like(x[:, :1])), dim=1)
        return self.gain * self.sum(self.split(x).relu())


def resized(part: Any, inputs: int, outputs: int) -> torch.nn.Module:
    """A layer of the same kind, kernel, stride and padding, without a bias."""
    if isinstance(part, torch.nn.Linear):
        return torch.nn.Linear(inputs, outputs, bias=False)
    return torch.nn.Conv2d(inputs, outputs, part.kernel_size, part.stride, part.padding, bias=False)  # pyright: ignore


def named(layer: WeightLayer, weights: np.ndarray, positive: int) -> dict[str, np.ndarray]:
    """Readings of a layer by the target's names: the last coordinate is that of the bias, if there is one.

    Args:
        weights: (readings, outputs, coordinates, *kernel).
        positive: how many of the readings, the first ones, are those of positive inputs, as the constant is.

    Raises:
        DataError: the constant is used where the image's border cuts it off.
    """
    if not layer.bias:
        return {layer.weight: weights}
    constant = weights[:positive, :, -1]
    bias = constant[(slice(None), slice(None), *layer.center)]
    if np.count_nonzero(constant) > np.count_nonzero(bias):
        raise DataError(f"{layer.name}: the ticket uses its constant input beyond the kernel's middle tap")
    return {layer.bias: bias, layer.weight: weights[:, :, :-1]}


def products(split: Masked, total: Masked, readings: int) -> np.ndarray:
    """(readings, outputs, coordinates, *kernel): second weights times first, summed over the paths kept.

    Raises:
        DataError: a hidden neuron keeps several edges, so that no such numbers exist.
    """
    edges = split.edges()
    if len(edges.source) > 1:
        raise DataError("the ticket keeps several edges of one hidden neuron: its paths do not add up to weights")
    outputs, hidden, *kernel = total.shape
    found = np.empty((readings, outputs, edges.inputs, *kernel))
    for reading in range(readings):
        weight = edges.weight[0]
        kept = np.flatnonzero(weight < 0 if reading else weight > 0)
        first = csr_array((weight[kept], (edges.source[0, kept], kept)), shape=(edges.inputs, hidden))
        for rows, block in total.blocks():
            columns = np.moveaxis(block, 1, 0).reshape(hidden, -1)  # (hidden, rows * taps)
            products = (first @ columns).reshape(edges.inputs, -1, *kernel)
            found[reading, rows] = np.moveaxis(products, 0, 1)
    return found
