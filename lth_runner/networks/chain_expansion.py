"""Random networks in which every input of a layer passes through a chain of small random layers of its own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.networks.attention import replaced_, unpack_
from lth_runner.networks.interface import Architecture, Masked, fill_
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.two_layer_expansion import check_replaced, has_constant, named, resized, with_earlier

MAX_BITS = 30  # whole numbers of so many bits, and their sums, are exact in float64


@dataclass(frozen=True, kw_only=True)
class ChainExpansion:
    """y = gain * V relu(C_T ... relu(C_1 relu(U x))) in place of every layer y = W x; U, the C and V random.

    U and the C are block-diagonal, with a block for each input coordinate, or two for each where the layer is listed in
    `twins`: the first is meant for positive inputs, the second for negative ones. V is fresh for every output, and sees
    the hidden neurons of all blocks. A fully connected random network of these widths has this one in it: what it has
    between blocks is pruned, too, and is neither drawn nor counted here.

    In the t-th hidden layer (U's is the 0-th) a block has one neuron for each of the powers 2^0, ..., 2^(B - 1), with B
    = min(t * doublings, bits), and `copies` neurons for 2^B, in this order; in the 0-th, `first` neurons for 1. What
    they carry in fact is a matter of the masks.

    A convolution of the target gets 1x1 chains, and V has its kernel, stride, dilation and groups. Biases and all that
    is no weight layer are as in `TwoLayerExpansion`.

    Attributes:
        target: the architecture it stands for.
        bits: B of the last hidden layer.
        doublings: how much larger B is in every hidden layer than in the one before.
        first: neurons of each block in the first hidden layer.
        copies: neurons of each block for the largest power, in all others.
        twins: weight names of the layers whose input may be negative.
        gains: by the weight name of every layer that is replaced, a positive number that multiplies its output.
    """

    kind: ClassVar[str] = "chain_expansion"
    target: Architecture
    bits: int
    doublings: int
    first: int
    copies: int
    twins: list[str]
    gains: dict[str, float]

    def __post_init__(self) -> None:
        check_chain(self.bits, self.doublings)
        checks.integer("first", self.first, at_least=1)
        checks.integer("copies", self.copies, at_least=1)
        check_replaced(self.target, self.twins, self.gains)

    @cached_property
    def layers(self) -> list[WeightLayer]:
        """The layers that are replaced."""
        return [layer for layer in weight_layers(self.target) if layer.weight in self.gains]

    @cached_property
    def widths(self) -> list[int]:
        """Neurons of a block in each hidden layer."""
        return widths(self.bits, self.doublings, self.first, self.copies)

    def takes_negatives(self) -> bool:
        """Whether the first layer has neurons for negative inputs, or is the target's own."""
        first = weight_layers(self.target)[0].weight
        return first in self.twins or first not in self.gains

    def signs(self, layer: WeightLayer) -> int:
        """Blocks of each coordinate."""
        return 2 if layer.weight in self.twins else 1

    @property
    def hidden_per_input(self) -> float:
        """See `Widened`: of all hidden layers together; a constant input is an input."""
        coordinates = [layer.inputs + has_constant(layer) for layer in self.layers]
        blocks = [count * self.signs(layer) for count, layer in zip(coordinates, self.layers, strict=True)]
        return sum(self.widths) * sum(blocks) / sum(coordinates)

    def random_names(self, layer: WeightLayer) -> list[str]:
        """Its random tensors, in the order of the forward pass."""
        chain = [f"{layer.name}.chain.{t}.weight" for t in range(len(self.widths) - 1)]
        return [f"{layer.name}.split.weight", *chain, f"{layer.name}.sum.weight"]

    def module(self) -> torch.nn.Module:
        """The whole random network but for what it would have between blocks."""
        module, _ = unpack_(self.target.module())
        for layer in self.layers:
            module = replaced_(module, layer.name, ChainLayer(layer, self))
        return module

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The pruned network, of masked arrays, without the neurons that nothing reads."""
        module, _ = unpack_(self.target.module())
        module = module.double()
        own = {f"{layer.name}.bias" for layer in self.layers}
        fill_(module, {name: array for name, array in stored.items() if name not in own})
        for layer in self.layers:
            with torch.device("meta"):
                part = ChainLayer(layer, self)
            *chain, total = (masked[name].dense(np.float64) for name in self.random_names(layer))
            part.fill_(*_read(chain, total, layer.groups))
            if part.bias is not None:
                part.bias = torch.nn.Parameter(torch.from_numpy(stored[f"{layer.name}.bias"]))
            module = replaced_(module, layer.name, part)
        return module.requires_grad_(False).eval()

    def readings(self, assembled: torch.nn.Module) -> dict[str, np.ndarray]:
        """See `Expansion.readings`: once for each sign that an input may have; a bias is read once.

        A block sees one coordinate alone, and ReLU is positively homogeneous: whatever the masks, a block's neurons are
        linear in inputs of one sign, so that there always are such numbers.

        Raises:
            DataError: a constant that reaches past the image's border.
        """
        found: dict[str, np.ndarray] = {}
        for layer in self.layers:
            part = assembled.get_submodule(layer.name)
            assert isinstance(part, ChainLayer), "every layer with a gain was replaced by one"
            found |= with_earlier(found, named(layer, part.matrices(layer.groups), positive=1))
        return found


class ChainLayer(torch.nn.Module):
    """One layer of a `ChainExpansion`; its parts are described there."""

    def __init__(self, layer: WeightLayer, sizes: ChainExpansion) -> None:
        super().__init__()
        self.gain, self.signs = sizes.gains[layer.weight], sizes.signs(layer)
        self.constant = has_constant(layer)
        self.coordinates = layer.inputs + self.constant
        self.axis = -1 if isinstance(layer.part, torch.nn.Linear) else 1  # of the features, or channels
        blocks = self.coordinates * self.signs
        self.split = Blocks(blocks, sizes.widths[0], 1)
        self.chain = torch.nn.ModuleList(Blocks(blocks, after, before) for before, after in pairwise(sizes.widths))
        self.sum: Any = resized(layer.part, blocks * sizes.widths[-1], layer.outputs)
        stored = layer.bias is not None and not self.constant
        self.bias = torch.nn.Parameter(torch.zeros(layer.outputs)) if stored else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.constant:
            x = torch.cat((x, torch.ones_like(x.narrow(self.axis, 0, 1))), dim=self.axis)
        features = x.movedim(self.axis, 0)
        hidden = self._hidden(features.reshape(self.coordinates, -1))
        y = self.gain * self.sum(hidden.reshape(-1, *features.shape[1:]).movedim(0, self.axis))
        return y if self.bias is None else y + self.bias.view(-1, *[1] * (x.ndim - 2 if self.axis == 1 else 0))

    def fill_(self, chain: Sequence[np.ndarray], total: np.ndarray) -> None:
        """Takes these weights, of as many neurons as they have."""
        for part, weight in zip((self.split, *self.chain), chain, strict=True):
            part.weight = torch.nn.Parameter(torch.from_numpy(weight))
        self.sum.weight = torch.nn.Parameter(torch.from_numpy(total))

    def matrices(self, groups: int) -> np.ndarray:
        """(signs, outputs, coordinates of a group, *kernel): what inputs of each sign are multiplied with."""
        outputs, _, *kernel = self.sum.weight.shape
        seen = self.coordinates // groups
        total = self.sum.weight.reshape(groups, outputs // groups, seen, -1, math.prod(kernel))
        found = []
        for sign in (1.0, -1.0)[: self.signs]:
            hidden = self._hidden(torch.full((self.coordinates, 1), sign, dtype=total.dtype))
            weights = torch.einsum("grcmt,gcm->grct", total, hidden.reshape(groups, seen, -1))
            found.append(sign * self.gain * weights.reshape(outputs, seen, *kernel))
        return torch.stack(found).numpy()

    def _hidden(self, features: torch.Tensor) -> torch.Tensor:
        """(blocks, m, positions), the last hidden layer, of (coordinates, positions)."""
        hidden = features.repeat_interleave(self.signs, dim=0)[:, None]
        for part in (self.split, *self.chain):
            hidden = part(hidden)
        return hidden


class Blocks(torch.nn.Module):
    """A block-diagonal layer and a ReLU."""

    def __init__(self, blocks: int, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(blocks, outputs, inputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(blocks, inputs, positions) to (blocks, outputs, positions)."""
        return (self.weight @ x).relu()


def _read(chain: Sequence[np.ndarray], total: np.ndarray, groups: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The same network with as many neurons in each block of a hidden layer as one of its blocks has that are read.

    Args:
        chain: (blocks, m, neurons before) of each hidden layer.
        total: (outputs, neurons of a group, *kernel).
    """
    blocks, width = len(chain[0]), chain[-1].shape[1]
    by_group = total.reshape(groups, len(total) // groups, blocks // groups, width, -1)
    chosen = _first(np.logical_or.reduce(by_group, axis=(1, 4)).reshape(blocks, width))
    own = chosen.reshape(groups, 1, blocks // groups, -1, 1)
    total = np.take_along_axis(by_group, own, axis=3).reshape(len(total), -1, *total.shape[2:])
    found = []
    for weight in reversed(chain):
        rows = np.take_along_axis(weight, chosen[..., None], axis=1)
        chosen = _first(np.logical_or.reduce(rows, axis=1)) if weight.shape[2] > 1 else np.zeros((blocks, 1), np.int64)
        found.append(np.take_along_axis(rows, chosen[:, None], axis=2))
    return found[::-1], total


def _first(read: np.ndarray) -> np.ndarray:
    """(blocks, k): the neurons that are read, in their order, and some others where other blocks have more of them."""
    count = max(1, int(read.sum(axis=1).max()))
    return np.sort(np.argsort(~read, axis=1, kind="stable")[:, :count], axis=1)


def check_chain(bits: int, doublings: int) -> None:
    """Refuses chains that no network can have."""
    checks.integer("bits", bits, at_least=1, at_most=MAX_BITS)
    checks.integer("doublings", doublings, at_least=1)


def exponents(bits: int, doublings: int) -> list[int]:
    """The largest power of each hidden layer: 0, doublings, 2 * doublings, ..., bits."""
    return [*range(0, bits, doublings), bits]


def widths(bits: int, doublings: int, first: int, copies: int) -> list[int]:
    """Neurons of a block in each hidden layer."""
    return [first, *(exponent + copies for exponent in exponents(bits, doublings)[1:])]
