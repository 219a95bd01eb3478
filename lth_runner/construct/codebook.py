"""All signed sums of a few random vectors, and the nearest of them, by exact search in the dimensions of a block."""

from itertools import product

import numpy as np
from scipy.spatial import KDTree

from lth_runner.core.errors import ConfigError

MOST = 22  # vectors: 4 million sums, which with their tree take some 500 MB in five dimensions
LEAF = 32  # points that are looked at one by one
GRID = 6  # bits of each coordinate that order the targets


class Codebook:
    """The 2^n points sum_j x_j g_j with x in {-1, 1}^n, for the rows g_j of a matrix (n, dimensions).

    Bit n - 1 - j of a point's index is 1 where x_j is 1, so that its bits, the highest first, are the mask.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.n = len(vectors)
        self.points = signed_sums(vectors)
        self._order = KDTree(self.points, leafsize=LEAF, balanced_tree=False).indices
        # built again, so that the points of a leaf lie together in memory: twice as fast
        self._tree = KDTree(self.points[self._order], leafsize=LEAF, balanced_tree=False)

    def nearest(self, targets: np.ndarray, workers: int) -> np.ndarray:
        """(targets,) uint32: the indices of the points with the least Euclidean distance.

        Args:
            targets: (targets, dimensions).
        """
        order = np.argsort(along_curve(targets))  # neighbours in time are neighbours in memory: three times as fast
        _, found = self._tree.query(targets[order], workers=workers)
        index = np.empty(len(targets), np.uint32)
        index[order] = self._order[found]
        return index

    def bits(self, index: np.ndarray) -> np.ndarray:
        """(..., n) bool: which x_j are 1."""
        return (index[..., None] >> np.arange(self.n - 1, -1, -1, dtype=np.uint32) & 1).astype(bool)


def signed_sums(vectors: np.ndarray) -> np.ndarray:
    """(2^n, dimensions) float64, in the order of `Codebook`."""
    found = np.zeros((1, vectors.shape[1]))
    for vector in vectors:  # what comes later stands in lower bits
        found = np.stack((found - vector, found + vector), axis=1).reshape(-1, vectors.shape[1])
    return found


def along_curve(targets: np.ndarray) -> np.ndarray:
    """(targets,) int64 places on a curve through space (Morton's), on a grid over three standard deviations."""
    spread = 3 * targets.std() or 1.0
    bits = max(1, min(GRID, 63 // targets.shape[1]))
    cells = np.clip((targets / spread + 1) * 2 ** (bits - 1), 0, 2**bits - 1).astype(np.int64)
    place = np.zeros(len(targets), np.int64)
    for bit, axis in product(range(bits - 1, -1, -1), range(min(63, targets.shape[1]))):
        place = place << 1 | cells[:, axis] >> bit & 1
    return place


def check_vectors(n: int) -> None:
    """Refuses more vectors than can be searched exactly.

    Raises:
        ConfigError: there are too many.
    """
    if n > MOST:
        raise ConfigError(
            f"n={n} vectors have {2**n:,} signed sums, and at most n={MOST} are searched: take a smaller n with a "
            "smaller method.block, which gives as many bits a weight"
        )
