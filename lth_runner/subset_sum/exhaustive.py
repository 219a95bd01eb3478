"""Exact SubsetSum by looking at every subset: the reference, plain enough to be believed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.interface import Subsets, certify, check_instances


@dataclass(frozen=True, kw_only=True)
class Exhaustive:
    """Looks at all 2^n subsets of each instance.

    Attributes:
        max_n: more values than this are refused.
    """

    exact: ClassVar[bool] = True
    max_n: int

    def __post_init__(self) -> None:
        checks.integer("method.solver.max_n", self.max_n, at_least=1, at_most=30)

    def check_size(self, n: int) -> None:
        if n > self.max_n:
            raise ConfigError(
                f"exhaustive search of n={n} values was refused (max_n={self.max_n}): use method/solver=meet_in_middle"
            )

    def solve(self, values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> Subsets:
        check_instances(values, targets, epsilon, objective)
        n = values.shape[1]
        self.check_size(n)
        terms = all_sums(np.ones(n)).astype(np.int64)
        rows = np.broadcast_to(values, (targets.size, n))
        masks = np.zeros(targets.size, np.int64)
        for b, (row, target) in enumerate(zip(rows, targets, strict=True)):
            error = np.abs(all_sums(row) - target)
            if objective == "sparsest" and error.min() <= epsilon:
                fewest = terms[error <= epsilon].min()
                error[(terms != fewest) | (error > epsilon)] = np.inf
            masks[b] = error.argmin()
        chosen = (masks[:, None] >> np.arange(n)) & 1 == 1
        return certify(values, targets, chosen, epsilon)


def all_sums(row: np.ndarray) -> np.ndarray:
    """The sum of every subset: entry m is that of the values whose bit is set in m."""
    sums = np.zeros(1)
    for value in row:
        sums = np.concatenate([sums, sums + value])
    return sums
