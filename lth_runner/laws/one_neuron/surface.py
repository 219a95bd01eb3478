"""Where the largest difference of two ReLU neurons lies: on finitely many points and lines of the cube's surface."""

import itertools
from dataclasses import dataclass

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.core.errors import ConfigError

MOST_INPUTS = 3


@dataclass(frozen=True)
class Surface:
    """The edges of the pieces into which planes through 0 cut the surface of the cube [-1, 1]^d.

    Attributes:
        points: (P, d), one edge after the other.
        linked: (P,) bool, whether an edge leads from a point to the next one.
    """

    points: np.ndarray
    linked: np.ndarray


def surface(normals: np.ndarray) -> Surface:
    """Cut by the planes that stand upright on the normals, (K, d).

    A function that is linear on each side of each plane is linear on every piece, a point, a line or a polygon for d =
    1, 2 or 3, and the edges are the points themselves, the lines, and the polygons' sides.

    Raises:
        ConfigError: more than 3 inputs.
    """
    inputs = normals.shape[1]
    if inputs > MOST_INPUTS:
        raise ConfigError(f"the pieces of a cube's surface are known up to d={MOST_INPUTS} inputs, got {inputs}")
    points, linked = [], []
    for start, end in _segments(normals):
        cut = start + _cuts(normals @ start, normals @ end)[:, None] * (end - start)
        points.append(cut)
        linked.append(np.arange(len(cut)) < len(cut) - 1)
    return Surface(np.concatenate(points), np.concatenate(linked))


@compiled(nogil=True)
def sup_error(pruned: np.ndarray, target: np.ndarray, linked: np.ndarray, stop: float) -> float:
    """The largest |relu(g(x)) - relu(f(x))| for x in [-1, 1]^d, where f is linear and g linear on every piece.

    Both are homogeneous, so that the largest difference lies on the surface. On one piece, whose kinks are those of g
    and of relu(f), relu(g) - relu(f) is convex: it is largest at a corner. relu(f) - relu(g) is linear on either side
    of g = 0: it is largest at a corner or where g = 0 meets an edge, and there it is relu(f).

    Args:
        pruned, target: (P,) g and f at the points of `surface`, of which the planes are the kinks of g and f.
        stop: an error as large as this need not be known exactly: what is returned is then at least this.
    """
    worst = 0.0
    for p in range(pruned.size):
        worst = max(worst, abs(max(pruned[p], 0.0) - max(target[p], 0.0)))
        if linked[p] and (pruned[p] > 0) != (pruned[p + 1] > 0):
            share = pruned[p] / (pruned[p] - pruned[p + 1])
            worst = max(worst, target[p] + share * (target[p + 1] - target[p]))
        if worst >= stop:
            break
    return worst


def _cuts(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Where on a segment, from 0 to 1, values that are linear along it change sign, both ends included."""
    crossed = (start > 0) != (end > 0)
    inner = start[crossed] / (start[crossed] - end[crossed])
    return np.concatenate(([0.0], np.sort(inner), [1.0]))


def _segments(normals: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Whose cuts are all edges: those of the cube, and in three dimensions the planes' lines across its faces."""
    inputs = normals.shape[1]
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=inputs)))
    if inputs == 1:
        return [(corner, corner) for corner in corners]
    pairs = itertools.combinations(corners, 2)
    edges = [(one, other) for one, other in pairs if np.count_nonzero(one != other) == 1]
    if inputs == 2:
        return edges
    return edges + [line for normal in normals for line in _lines(normal, edges)]


def _lines(normal: np.ndarray, edges: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Across each face, from where the plane meets one of its edges to where it meets another."""
    met = [start + t * (end - start) for start, end in edges for t in _cuts(normal @ start, normal @ end)[1:-1]]
    found = []
    for axis, side in itertools.product(range(3), (-1.0, 1.0)):
        here = [point for point in met if point[axis] == side]
        found += itertools.combinations(here, 2)
    return found
