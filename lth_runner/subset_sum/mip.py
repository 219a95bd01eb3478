"""What the mixed-integer solvers share: one model per instance, and a status where the model yields no answer."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lth_runner.subset_sum.interface import Status, Subsets, certify

SolveOne = Callable[[np.ndarray, float], np.ndarray | None]


def solve_each(solve_one: SolveOne, values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
    """Solves the instances one by one and certifies the answers.

    Args:
        solve_one: (values (n,), target) -> the binary variables as the solver left them, None if it left none. They are
            rounded here: a solver's 0.99999 counts as 1, and what that does to the error is in the certified error.
    """
    n = values.shape[1]
    rows = np.broadcast_to(values, (targets.size, n))
    chosen = np.zeros((targets.size, n), bool)
    gave_up = np.zeros(targets.size, bool)
    for b, (row, target) in enumerate(zip(rows, targets, strict=True)):
        found = solve_one(row, float(target))
        gave_up[b] = found is None
        if found is not None:
            chosen[b] = np.asarray(found) > 0.5
    subsets = certify(values, targets, chosen, epsilon)
    return replace(subsets, status=np.where(gave_up, np.uint8(Status.UNSOLVED), subsets.status))
