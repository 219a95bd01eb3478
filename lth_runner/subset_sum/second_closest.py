"""Another answer to the same instance: the closest of all subsets but the one that a solver gives."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.subset_sum.interface import Subsets, SubsetSumSolver, certify, check_instances


@dataclass(frozen=True, kw_only=True)
class SecondClosest:
    """Solves every instance by the closest subset that differs from the answer of `solver`.

    Of such subsets, each differs from that answer first at some value i: those before i are as in the answer, i is not,
    and those behind are free. So for every i the rest is an instance of its own, and the closest of the n subsets that
    they give is the closest of all. Exact where `solver` is; with the objective "closest", it is the second closest.
    It is no choice for a run, which wants the best answer, but a control: what two answers have in common.

    Attributes:
        solver: gives the answer to be avoided, and solves the rests.
    """

    exact: ClassVar[bool] = False  # it never gives the optimum but where two subsets share it
    solver: SubsetSumSolver

    def solve(self, values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> Subsets:
        check_instances(values, targets, epsilon, objective)
        avoided = self.solver.solve(values, targets, epsilon, objective).chosen
        best = _differing(self.solver, values, targets, avoided, 0, epsilon)
        for first in range(1, values.shape[1]):
            other = _differing(self.solver, values, targets, avoided, first, epsilon)
            closer = other.error < best.error
            chosen = np.where(closer[:, None], other.chosen, best.chosen)
            best = certify(values, targets, chosen, epsilon)
        return best


def _differing(
    solver: SubsetSumSolver, values: np.ndarray, targets: np.ndarray, avoided: np.ndarray, first: int, epsilon: float
) -> Subsets:
    """The closest subsets that are as `avoided` (B, n) before value `first`, and not there."""
    chosen = avoided.copy()
    chosen[:, first] = ~avoided[:, first]
    behind = first + 1
    if behind < values.shape[1]:
        before = np.where(chosen[:, :behind], values[:, :behind], 0.0).sum(axis=1)
        chosen[:, behind:] = solver.solve(values[:, behind:], targets - before, epsilon, "closest").chosen
    return certify(values, targets, chosen, epsilon)
