"""The one best value, or none: what Malach et al.'s (2020) construction picks for a target weight."""

import numpy as np

from lth_runner.subset_sum.interface import Subsets, certify, check_instances

BLOCK = 4096  # rows whose errors stay in the second-level cache


def single_best(values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
    """For each instance the subset of at most one value that comes closest; of equals the empty one, then the first.

    Takes values (B, n), or (1, n) shared by all, as the solvers do.
    """
    check_instances(values, targets, epsilon, "closest")
    chosen = np.zeros((targets.size, values.shape[1]), bool)
    for start in range(0, targets.size, BLOCK):
        rows = slice(start, start + BLOCK)
        sought = targets[rows]
        error = np.abs((values if len(values) == 1 else values[rows]) - sought[:, None])
        best = error.argmin(axis=1)[:, None]
        chosen[rows][np.arange(sought.size), best[:, 0]] = np.take_along_axis(error, best, 1)[:, 0] < np.abs(sought)
    return certify(values, targets, chosen, epsilon)
