"""Random networks in which the inputs of every layer pass, block by block, through one small random matrix."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.attention import replaced_, unpack_
from lth_runner.networks.interface import Architecture, Masked, fill_
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.patches import Geometry, patches, places
from lth_runner.networks.two_layer_expansion import with_earlier

CHUNK = 1 << 22  # numbers worked out at a time
SUM = ".sum.weight"  # the end of a second layer's name


@dataclass(frozen=True, kw_only=True)
class BlockExpansion:
    """Two linear layers in place of every layer y = W x + c of the target: n random neurons for each block of inputs.

    The inputs are taken in blocks of B, x = (x_1, ..., x_K), the last one filled up with zeros. With G a random n x B
    matrix, the same for all blocks, and m a mask of zeros and ones of shape (outputs, K, n),

        h_k = G x_k                                            the first layer: random, block-diagonal, K n neurons
        y_o = s_o (2 sum_kj m_okj h_kj - sum_kj h_kj) + c_o    the second layer: all its weights are 1; it is pruned

    so that output o takes each neuron with the sign 2 m - 1. What is subtracted is the same for all outputs: one more
    neuron, known from the seed. So every block of a row of W is s_o sum_j (2 m_okj - 1) g_j, with g_j the rows of G.

    Random, and not stored: G, and R if there is one. Pruned: the second layer; its mask is n / B bits for each target
    weight. Stored: a scale s_o for each row, or for each row and group of columns; the bias c; single weights that are
    added to the network ("escapes"); the order of the inputs, where that is not their own; and everything that is no
    weight layer.

    Where inputs are rotated, R x stands for x, with R a random orthogonal matrix, the same for all layers of as many
    inputs; G R is still random and known from the seed, but no longer block-diagonal: each of the K n neurons sees all
    inputs.

    A convolution is the same layer on its patches: G then is a random convolution. Grouped convolutions are stored.
    Attentions are unpacked. Layers with tied weights have a mask each.

    Attributes:
        target: the architecture it stands for.
        n: random neurons for each block.
        block: inputs of a block, B.
        group: columns that share a scale of their row, a multiple of `block`; None: all of the row.
        permuted: whether each layer takes its inputs in an order of its own.
        rotated: whether each layer's inputs are rotated at random, before that.
        escapes: by the names of the layers that are replaced, how many single weights are added to each.
    """

    kind: ClassVar[str] = "block_expansion"
    target: Architecture
    n: int
    block: int
    group: int | None
    permuted: bool
    rotated: bool
    escapes: dict[str, int]

    def __post_init__(self) -> None:
        check_sizes(self.n, self.block, self.group)
        checks.boolean("permuted", self.permuted)
        checks.boolean("rotated", self.rotated)
        known = [layer.name for layer in blockable(weight_layers(self.target))]
        if not set(self.escapes) <= set(known):
            raise ConfigError(f"escapes must name weight layers of the target: {', '.join(known)}")
        for name, count in self.escapes.items():
            checks.integer(f"escapes.{name}", count, at_least=0)

    @cached_property
    def layers(self) -> list[WeightLayer]:
        """The layers that are replaced."""
        return [layer for layer in weight_layers(self.target) if layer.name in self.escapes]

    def takes_negatives(self) -> bool:
        """Always: nothing in it looks at signs."""
        return True

    @property
    def hidden_per_input(self) -> float:
        """See `Widened`: n linear neurons for each block, and the one that is subtracted."""
        inputs = [layer.part.weight[0].numel() for layer in self.layers]
        return (self.n + 1) * sum(num_blocks(count, self.block) for count in inputs) / sum(inputs)

    def module(self) -> torch.nn.Module:
        """The whole random network, dense."""
        return self._built(pruned=False)

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The pruned network; of its second layers one byte for each weight, which is 0 or 1."""
        module = self._built(pruned=True).double()
        fill_(module, stored)
        for name, mask in masked.items():
            fill_(module, {name: mask.dense(np.uint8 if name.endswith(SUM) else np.float64)})
        return module.requires_grad_(False).eval()

    def _built(self, pruned: bool) -> torch.nn.Module:
        module, _ = unpack_(self.target.module())
        for layer in self.layers:
            module = replaced_(module, layer.name, BlockLayer(layer, self, pruned))
        return module

    def readings(self, assembled: torch.nn.Module) -> dict[str, np.ndarray]:
        """See `Expansion.readings`: one for each layer that has the weight."""
        found: dict[str, np.ndarray] = {}
        for layer in self.layers:
            part = assembled.get_submodule(layer.name)
            assert isinstance(part, BlockLayer), "every layer with escapes was replaced by one"
            weight = part.matrix().reshape(1, *layer.part.weight.shape)
            found |= with_earlier(found, {layer.weight: weight})
        return found

    def entry_bits(self, name: str) -> int | None:
        """Bits of a place in a layer, and of a column; see `Packed`."""
        path, _, part = name.rpartition(".")
        weight = {layer.name: layer.part.weight for layer in self.layers if layer.name == path}
        if path not in weight or part not in ("escape_place", "columns"):
            return None
        return max(1, ((weight[path].numel() if part == "escape_place" else weight[path][0].numel()) - 1).bit_length())


class BlockLayer(torch.nn.Module):
    """One layer of a `BlockExpansion`; its parts are described there."""

    columns: torch.Tensor
    scale: torch.Tensor
    escape_place: torch.Tensor
    escape_value: torch.Tensor

    def __init__(self, layer: WeightLayer, sizes: BlockExpansion, pruned: bool) -> None:
        """Without numbers.

        Args:
            pruned: whether the second layer holds its mask, a byte for each weight, or weights.
        """
        super().__init__()
        self.part = None if isinstance(layer.part, torch.nn.Linear) else Geometry.of(layer.part)
        self.inputs, self.block, self.group = layer.part.weight[0].numel(), sizes.block, sizes.group
        blocks = num_blocks(self.inputs, sizes.block)
        self.rotation = torch.nn.Linear(self.inputs, self.inputs, bias=False) if sizes.rotated else None
        self.split = torch.nn.Linear(sizes.block, sizes.n, bias=False)
        self.sum = _Weight((layer.outputs, blocks, sizes.n), pruned)
        self.bias = None if layer.bias is None else torch.nn.Parameter(torch.zeros(layer.outputs))
        self.register_buffer("scale", torch.zeros(layer.outputs, num_groups(self.inputs, sizes.group)))
        if sizes.permuted:
            self.register_buffer("columns", torch.zeros(self.inputs, dtype=torch.int32))
        self.permuted, self.escapes = sizes.permuted, sizes.escapes[layer.name]
        if self.escapes:
            self.register_buffer("escape_place", torch.zeros(self.escapes, dtype=torch.int32))
            self.register_buffer("escape_value", torch.zeros(self.escapes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.part is None:
            return self._linear(x)
        rows = self._linear(patches(self.part, x)[:, 0])  # (N, places, out)
        images = rows.mT.unflatten(2, places(self.part, *x.shape[-2:]))
        return images if x.ndim == 4 else images[0]

    def _linear(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.rotation is None else self.rotation(x)
        ordered = x[..., self.columns.long()] if self.permuted else x
        filled = torch.nn.functional.pad(ordered, (0, -self.inputs % self.block))
        hidden = self.split(filled.unflatten(-1, (-1, self.block)))  # (..., blocks, n)
        y = torch.zeros((), dtype=x.dtype, device=x.device)
        for scale, own in zip(self.scale.T, self._groups(), strict=True):
            h = hidden[..., own, :].flatten(-2)
            kept = torch.nn.functional.linear(h, self.sum.weight[:, own].flatten(1).to(h.dtype))
            y = y + scale * (2 * kept - h.sum(-1, keepdim=True))
        if self.escapes:
            row, column = (self.escape_place // self.inputs).long(), (self.escape_place % self.inputs).long()
            y = y.index_add(-1, row, x[..., column] * self.escape_value)
        return y if self.bias is None else y + self.bias

    def _groups(self) -> list[slice]:
        """The blocks that share a scale."""
        blocks = num_blocks(self.inputs, self.block)
        step = blocks if self.group is None else self.group // self.block
        return [slice(start, start + step) for start in range(0, blocks, step)]

    def matrix(self) -> np.ndarray:
        """(out, in) float64: what the layer multiplies its inputs, or patches, with."""
        found = np.empty((len(self.scale), self.inputs))
        random, scale = self.split.weight.numpy(), self.scale.numpy()
        columns = self.columns.numpy() if self.permuted else slice(None)
        step = max(1, CHUNK // self.sum.weight[0].numel())
        for start in range(0, len(found), step):
            rows = slice(start, start + step)
            code = (2.0 * self.sum.weight[rows].numpy() - 1.0) @ random  # (rows, blocks, B)
            for group, own in enumerate(self._groups()):
                code[:, own] *= scale[rows, group, None, None]
            found[rows, columns] = code.reshape(len(code), -1)[:, : self.inputs]
        if self.escapes:
            found.reshape(-1)[self.escape_place.numpy()] += self.escape_value.numpy()
        return found if self.rotation is None else found @ self.rotation.weight.numpy()


class _Weight(torch.nn.Module):
    """The weights of a layer by output, block and neuron, or which of them are kept."""

    weight: torch.Tensor

    def __init__(self, shape: tuple[int, ...], pruned: bool) -> None:
        super().__init__()
        if pruned:
            self.register_buffer("weight", torch.zeros(shape, dtype=torch.uint8))
        else:
            self.weight = torch.nn.Parameter(torch.zeros(shape))


def check_sizes(n: int, block: int, group: int | None) -> None:
    """Refuses sizes that no block layer can have."""
    checks.integer("n", n, at_least=1)
    checks.integer("block", block, at_least=1)
    if group is not None:
        checks.integer("group", group, at_least=block)
        if group % block:
            raise ConfigError(f"group must be a multiple of block={block}, got {group}: take {group // block * block}")


def blockable(layers: list[WeightLayer]) -> list[WeightLayer]:
    """The layers that can be replaced: those whose outputs all see the same inputs."""
    return [layer for layer in layers if layer.groups == 1]


def num_blocks(inputs: int, block: int) -> int:
    """Blocks that so many inputs fill, the last one perhaps not wholly."""
    return -(-inputs // block)


def num_groups(inputs: int, group: int | None) -> int:
    """Scales of a row of so many inputs."""
    return 1 if group is None else -(-inputs // group)
