"""The best mask over whole hidden neurons, by branch and bound."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.laws.one_neuron.surface import sup_error, surface


@dataclass(frozen=True)
class Network:
    """x -> relu(sum_i v_i relu(u_i . x)), random, and the target x -> relu(w . x) that it is pruned for.

    Attributes:
        first: (n, d), the u.
        second: (n,), the v.
        target: (d,), w.
    """

    first: np.ndarray
    second: np.ndarray
    target: np.ndarray

    def part(self, neurons: np.ndarray) -> "Network":
        """With some of the hidden neurons: places, or a mask."""
        return Network(self.first[neurons], self.second[neurons], self.target)

    def error(self, mask: np.ndarray) -> float:
        """The largest |output - target's| over [-1, 1]^d, (n,) bool saying which neurons are kept; up to rounding."""
        kept = self.part(mask)
        places = surface(np.vstack((kept.first, kept.target)))
        outputs = np.maximum(places.points @ kept.first.T, 0) @ kept.second
        return sup_error(outputs, places.points @ kept.target, places.linked, np.inf)


@dataclass(frozen=True)
class Best:
    """What a search over masks ends with.

    Attributes:
        mask: (n,) bool.
        error: its error.
        proved: whether no other mask has a smaller one, up to rounding.
    """

    mask: np.ndarray
    error: float
    proved: bool


def best_neurons(network: Network, start: np.ndarray, nodes: int, below: float = np.inf) -> Best:
    """Neuron by neuron, kept or not, those first that weigh most.

    With an error below e at a point x, g(x) < relu(f(x)) + e and, if f(x) > e, g(x) > f(x) - e. So a branch is cut off
    where all neurons still to come, those of one sign, could not bring g back into that.

    Args:
        start: (n,) bool, a mask to begin with.
        nodes: so many branches are looked at, at most; then the best mask so far is all that is known.
        below: only a smaller error is looked for; where there is none, `start` is returned, and that is what is proved.
    """
    places = surface(np.vstack((network.first, network.target)))
    target = places.points @ network.target
    outputs = (np.maximum(places.points @ network.first.T, 0) * network.second).T  # (n, P)
    order = np.argsort(-np.abs(outputs).sum(axis=1), kind="stable")
    first = network.error(start)
    mask = start[order].copy()
    rows = np.ascontiguousarray(outputs[order])
    best, proved = search(rows, target, places.linked, min(first, below), mask, nodes)
    best = first if best == below else best
    found = np.empty(len(mask), bool)
    found[order] = mask
    return Best(found, best, proved)


@compiled(nogil=True)
def search(
    outputs: np.ndarray, target: np.ndarray, linked: np.ndarray, best: float, chosen: np.ndarray, nodes: int
) -> tuple[float, bool]:
    """Writes the best mask to `chosen` if its error is below `best`.

    Args:
        outputs: (n, P) what each neuron adds at each point.

    Returns:
        its error, and whether the search came to its end.
    """
    n, points = outputs.shape
    most, least = np.zeros((n + 1, points)), np.zeros((n + 1, points))  # that the neurons from i on can add
    for i in range(n - 1, -1, -1):
        for p in range(points):
            most[i, p] = most[i + 1, p] + max(outputs[i, p], 0.0)
            least[i, p] = least[i + 1, p] + min(outputs[i, p], 0.0)
    sums = np.zeros((n + 1, points))
    tried, mask = np.zeros(n + 1, np.int64), np.zeros(n, np.bool_)
    i = looked_at = 0
    while i >= 0:
        if i == n:
            error = sup_error(sums[n], target, linked, best)
            if error < best:
                best = error
                chosen[:] = mask
            i -= 1
        elif tried[i] == 2:
            i -= 1
        elif looked_at == nodes:
            return best, False
        else:
            mask[i] = tried[i] == 0
            tried[i] += 1
            looked_at += 1
            if can_be_better(sums, outputs[i], mask[i], i, target, most[i + 1], least[i + 1], best):
                i += 1
                tried[i] = 0
    return best, True


@compiled(nogil=True)
def can_be_better(
    sums: np.ndarray,
    output: np.ndarray,
    keep: bool,
    i: int,
    target: np.ndarray,
    most: np.ndarray,
    least: np.ndarray,
    best: float,
) -> bool:
    """Whether an error below `best` is possible; writes the sums with neuron i to `sums[i + 1]` as far as it looks."""
    for p in range(output.size):
        here = sums[i, p] + (output[p] if keep else 0.0)
        sums[i + 1, p] = here
        if here + least[p] >= max(target[p], 0.0) + best:
            return False
        if target[p] > best and here + most[p] <= target[p] - best:
            return False
    return True
