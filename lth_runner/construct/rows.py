"""Rows of weight matrices, each of which is chosen by itself: how they are divided so that not a bit of them changes.

A row depends on the second moments of its layer's inputs, on the order of the columns and on random numbers of the
seed, and on no other row. Rows meet in one place, the products of matrices, where BLAS may add up in another order for
another number of rows. So these products are taken for tiles of `TILE` rows, counted from the first of the matrix, and
whatever divides a matrix divides it between tiles: whichever process works out a tile, it makes the same calls with the
same numbers. What holds for one process run twice (equal programs, processors of one kind, as many threads) then makes
the parts of several processes equal to it, to the byte.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from lth_runner.problem import Share

TILE = 512  # rows
SLAB = 1 << 24  # numbers worked out at a time, but a tile at least: 128 MiB


def tiles(count: int) -> Iterator[slice]:
    """So many rows, a tile at a time."""
    return (slice(start, min(start + TILE, count)) for start in range(0, count, TILE))


def columns_times(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left @ right, where the columns of `right` are rows of a weight: each tile's product is its own."""
    found = np.empty((left.shape[0], right.shape[1]))
    for own in tiles(right.shape[1]):
        np.matmul(left, right[:, own], out=found[:, own])
    return found


def rows_times(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left @ right, where the rows of `left` are rows of a weight: each tile's product is its own."""
    found = np.empty((left.shape[0], right.shape[1]))
    for own in tiles(left.shape[0]):
        np.matmul(left[own], right, out=found[own])
    return found


def slabs(rows: slice, inputs: int) -> Iterator[slice]:
    """Some tiles at a time of rows that begin with one: as many as `SLAB` numbers have, so that memory is bounded.

    Args:
        inputs: of a row.
    """
    step = max(1, SLAB // (inputs * TILE)) * TILE
    return (slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step))


def shared_out(sizes: Mapping[str, tuple[int, int]], share: Share) -> dict[str, slice]:
    """The rows of one share, by the names of their matrices: neighbours, about as many numbers as every other share.

    Args:
        sizes: rows and inputs of each matrix, by name.
        share: which. All shares together have every row once; where there are fewer tiles than shares, some are empty.
    """
    total = sum(rows * inputs for rows, inputs in sizes.values())
    found: dict[str, slice] = {}
    done = 0
    for name, (rows, inputs) in sizes.items():
        for tile in tiles(rows):
            size = (tile.stop - tile.start) * inputs
            if (2 * done + size) * share.count // (2 * total) == share.index:  # where its middle falls
                found[name] = slice(found[name].start if name in found else tile.start, tile.stop)
            done += size
    return found
