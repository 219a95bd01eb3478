"""One masked tensor of a random network, drawn again by blocks of rows: no more memory than a block and the result."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.networks.edges import Edges
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn

CHUNK = 1 << 18  # random numbers held at a time: 2 MiB, which the caches hold


@dataclass(frozen=True, kw_only=True)
class MaskedTensor:
    """A random tensor times its mask."""

    tensor: Drawn
    mask: Mask
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the places: of the tensor and the mask, broadcast."""
        return np.broadcast_shapes(self.tensor.shape, self.mask.shape)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of the first axis, and their masked float64 values; every row once, in order.

        A random tensor with axes of length 1 where the mask is longer offers the same numbers there; a mask with such
        axes keeps or prunes all that lies along them.
        """
        count = self.shape[0]
        shared = self.tensor.shape[0] == 1 < count  # one row of numbers for all rows of the mask
        rows = 1 if shared else count
        if len(self.mask.shape) != len(self.tensor.shape) or (self.mask.shape[0], self.tensor.shape[0]) != (
            count,
            rows,
        ):
            whole = self.tensor.masked(self.tensor.draw(self.seed), self.mask.dense())
            yield slice(0, count), np.broadcast_to(whole, self.shape)
            return
        per_row = int(np.prod(self.tensor.shape[1:]))
        step = max(1, CHUNK * count // max(1, int(np.prod(self.shape))))
        for start in range(0, count, step):
            stop = min(start + step, count)
            kept = self.mask.rows(start, stop)
            if not kept.any() and not self.tensor.centred:
                yield slice(start, stop), np.zeros((stop - start, *self.shape[1:]))
                continue
            first, last = (0, 1) if shared else (start, stop)
            drawn = self.tensor.draw(self.seed, first * per_row, (last - first) * per_row)
            yield slice(start, stop), self.tensor.masked(drawn.reshape(last - first, *self.tensor.shape[1:]), kept)

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
