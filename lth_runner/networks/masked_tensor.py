"""One masked tensor of a random network, drawn again by blocks of rows: no more memory than a block and the result."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lth_runner.core.mask import Mask
from lth_runner.core.ticket import RandomTensor

CHUNK = 1 << 22  # random numbers held at a time


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The kept entries of a sparse (outputs, inputs) matrix, listed per output: at most E of them.

    Attributes:
        inputs: of the matrix.
        source: (E, outputs) int64, the input of the e-th edge of each output.
        weight: (E, outputs) float64; 0 where an output has fewer than E edges.
    """

    inputs: int
    source: np.ndarray
    weight: np.ndarray

    def used(self) -> np.ndarray:
        """The outputs that have an edge, ascending; the first one if none has, since torch has no empty layers."""
        used = np.flatnonzero(self.weight.any(axis=0))
        return used if used.size else np.zeros(1, np.int64)

    def of(self, outputs: np.ndarray) -> "Edges":
        """The edges of some outputs alone."""
        return Edges(inputs=self.inputs, source=self.source[:, outputs], weight=self.weight[:, outputs])


@dataclass(frozen=True, kw_only=True)
class MaskedTensor:
    """A random tensor times its mask."""

    tensor: RandomTensor
    mask: Mask
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mask.shape

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of the first axis, and their masked float64 values; every row once, in order.

        A random tensor with axes of length 1 where the mask is longer offers the same numbers there.
        """
        count = self.shape[0]
        per_row = int(np.prod(self.tensor.shape[1:]))
        step = max(1, CHUNK * count // max(1, self.mask.size))
        for start in range(0, count, step):
            stop = min(start + step, count)
            kept = self.mask.rows(start, stop)
            if not kept.any():
                yield slice(start, stop), np.zeros(kept.shape)
                continue
            drawn = self.tensor.draw(self.seed, start * per_row, (stop - start) * per_row)
            yield slice(start, stop), np.where(kept, drawn.reshape(stop - start, *self.tensor.shape[1:]), 0.0)

    def dense(self, dtype: Any, columns: np.ndarray | None = None) -> np.ndarray:
        """The whole masked tensor, or the given columns (entries of the second axis) of it."""
        count = self.shape[1] if columns is None else columns.size
        whole = np.empty((self.shape[0], count, *self.shape[2:]), dtype)
        for rows, block in self.blocks():
            whole[rows] = block if columns is None else block[:, columns]
        return whole

    def edges(self) -> Edges:
        """The kept entries of a matrix (axes of length 1 may follow), per output, in the order of the inputs."""
        outputs, inputs = self.shape[:2]
        found = []
        for rows, block in self.blocks():
            row, column = block.reshape(-1, inputs).nonzero()
            found.append((rows.start + row, column, block.reshape(-1, inputs)[row, column]))
        row, column, value = (np.concatenate(part) for part in zip(*found, strict=True))
        count = np.bincount(row, minlength=outputs)
        place = np.arange(row.size) - (np.cumsum(count) - count)[row]  # of an edge among those of its output
        most = max(1, int(count.max()))
        edges = Edges(inputs=inputs, source=np.zeros((most, outputs), np.int64), weight=np.zeros((most, outputs)))
        edges.source[place, row], edges.weight[place, row] = column, value
        return edges


class EdgeLayer(torch.nn.Module):
    """y_o = sum_e weight[e, o] x[source[e, o]] along axis 1: a linear layer, or a 1x1 convolution, of listed edges."""

    source: torch.Tensor
    weight: torch.Tensor

    def __init__(self, edges: Edges, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("source", torch.from_numpy(edges.source))
        self.register_buffer("weight", torch.from_numpy(edges.weight).to(dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        along = (-1, *[1] * (x.ndim - 2))
        edges = zip(self.source, self.weight, strict=True)
        parts = [x.index_select(1, source) * weight.view(along) for source, weight in edges]
        return sum(parts[1:], parts[0])
