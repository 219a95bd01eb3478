"""SubsetSum as a mixed-integer program for HiGHS, through SciPy: free, and without a limit on size."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import optimize

from lth_runner.core import checks
from lth_runner.subset_sum.chatter import dropped
from lth_runner.subset_sum.interface import Subsets, check_instances
from lth_runner.subset_sum.mip import solve_each

CHATTER = rb"HighsMipSolverData::[^\n]*\n"  # printed by HiGHS whatever its options say (jump-dev/HiGHS.jl#312)


@dataclass(frozen=True, kw_only=True)
class Milp:
    """Solves one model per instance, with the paper's hard constraint of an error within epsilon.

    closest: minimise z subject to -z <= sum_i a_i x_i - w <= z, 0 <= z <= epsilon, x binary.
    sparsest: minimise sum_i x_i subject to |sum_i a_i x_i - w| <= epsilon; which of several sparsest subsets comes
    out is up to the solver, not the nearest.

    Not exact: HiGHS allows each constraint an error of 1e-6 and stops within `mip_gap`; the certified error is the
    truth. An instance without a subset within epsilon, or out of time without any, is UNSOLVED.

    Attributes:
        mip_gap: relative gap between answer and bound at which to stop.
        time_limit: seconds for one instance; None for no limit.
    """

    exact: ClassVar[bool] = False
    mip_gap: float
    time_limit: float | None

    def __post_init__(self) -> None:
        checks.not_negative("method.solver.mip_gap", self.mip_gap)
        if self.time_limit is not None:
            checks.positive("method.solver.time_limit", self.time_limit)

    def solve(self, values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> Subsets:
        check_instances(values, targets, epsilon, objective)
        model = closest_model if objective == "closest" else sparsest_model
        options: dict[str, Any] = {"mip_rel_gap": self.mip_gap}
        if self.time_limit is not None:
            options["time_limit"] = self.time_limit

        def solve_one(row: np.ndarray, target: float) -> np.ndarray | None:
            with dropped(CHATTER):
                answer = optimize.milp(**model(row, target, epsilon), options=options)
            return None if answer.x is None else answer.x[: row.size]

        return solve_each(solve_one, values, targets, epsilon)


def closest_model(row: np.ndarray, target: float, epsilon: float) -> dict[str, Any]:
    """The arguments of `scipy.optimize.milp`; the last variable is z."""
    n = row.size
    sides = np.stack([np.append(row, -1.0), np.append(row, 1.0)])
    low, high = np.array([-np.inf, target]), np.array([target, np.inf])
    return {
        "c": np.append(np.zeros(n), 1.0),
        "integrality": np.append(np.ones(n), 0.0),
        "bounds": (np.zeros(n + 1), np.append(np.ones(n), epsilon)),
        "constraints": (sides, low, high),
    }


def sparsest_model(row: np.ndarray, target: float, epsilon: float) -> dict[str, Any]:
    """The arguments of `scipy.optimize.milp`."""
    return {
        "c": np.ones(row.size),
        "integrality": np.ones(row.size),
        "bounds": (np.zeros(row.size), np.ones(row.size)),
        "constraints": (row[None], target - epsilon, target + epsilon),
    }
