"""SubsetSum as a mixed-integer program for Gurobi: how the paper solved it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.interface import Subsets, check_instances
from lth_runner.subset_sum.mip import solve_each

if TYPE_CHECKING:
    import gurobipy

NO_LICENSE, TOO_LARGE = 10009, 10010  # Gurobi's error numbers
LARGEST_FREE = 2000  # variables, and constraints, of a model under the licence that pip installs


@dataclass(frozen=True, kw_only=True)
class Gurobi:
    """Solves one model per instance, with a hard constraint of an error within epsilon.

    closest: minimise z subject to -z <= sum_i a_i x_i - w <= z, z <= epsilon, x binary: as in the paper.
    sparsest: minimise sum_i x_i subject to |sum_i a_i x_i - w| <= epsilon; which of several sparsest subsets comes
    out is up to the solver, not the nearest.

    Not exact: Gurobi allows constraints an error of 1e-6 and integers one of 1e-5; the certified error is the truth.
    An instance without a subset within epsilon, or out of time without any, is UNSOLVED.

    Attributes:
        mip_gap: relative gap between answer and bound at which to stop.
        threads: for one model; 0 for all.
        time_limit: seconds for one instance; None for no limit.
    """

    exact: ClassVar[bool] = False
    mip_gap: float
    threads: int
    time_limit: float | None

    def __post_init__(self) -> None:
        checks.not_negative("method.solver.mip_gap", self.mip_gap)
        checks.integer("method.solver.threads", self.threads, at_least=0)
        if self.time_limit is not None:
            checks.positive("method.solver.time_limit", self.time_limit)

    def solve(self, values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> Subsets:
        check_instances(values, targets, epsilon, objective)
        with self.environment() as environment:

            def solve_one(row: np.ndarray, target: float) -> np.ndarray | None:
                return optimize(environment, row, target, epsilon, objective)

            return solve_each(solve_one, values, targets, epsilon)

    def check_licence(self, n: int) -> None:
        """Solves a model of that size in which nothing is to be found; see `Licensed`."""
        with self.environment() as environment:
            optimize(environment, np.zeros(n), 0.0, 1.0, "closest")

    def licence(self, n: int) -> str:
        """Whether the licence that pip installs with Gurobi covers instances of n values."""
        fits = "is enough" if n + 1 <= LARGEST_FREE else "is not enough: point GRB_LICENSE_FILE to another"
        return (
            f"Gurobi's models have {n + 1:,} variables and 2 constraints; the licence of at most {LARGEST_FREE:,} each "
            f"that pip installs {fits}"
        )

    @contextmanager
    def environment(self) -> "Iterator[gurobipy.Env]":
        """A silent Gurobi environment with the settings of this solver.

        Raises:
            ConfigError: there is no licence, or it does not cover the models solved inside.
        """
        try:
            import gurobipy
        except ImportError as error:
            raise ConfigError("method/solver=gurobi needs gurobipy: pip install gurobipy") from error
        settings = {"OutputFlag": 0, "MIPGap": self.mip_gap, "Threads": self.threads}
        if self.time_limit is not None:
            settings["TimeLimit"] = self.time_limit
        try:
            with gurobipy.Env(params=settings) as environment:
                yield environment
        except gurobipy.GurobiError as error:
            if error.errno not in (NO_LICENSE, TOO_LARGE):
                raise
            trouble = "found no licence" if error.errno == NO_LICENSE else "has a licence too small for so many values"
            raise ConfigError(
                f"Gurobi {trouble} ({str(error).rstrip('.')}): point GRB_LICENSE_FILE to a valid one, or use "
                "method/solver=meet_in_middle"
            ) from error


def optimize(
    environment: "gurobipy.Env", row: np.ndarray, target: float, epsilon: float, objective: str
) -> np.ndarray | None:
    """The binary variables of one instance's model, None if Gurobi found no solution."""
    import gurobipy

    with gurobipy.Model(env=environment) as model:
        x = model.addMVar(row.size, vtype="B")
        z = model.addVar(ub=epsilon)
        distance = row @ x - target
        model.addConstr(distance <= z)
        model.addConstr(distance >= -z)
        model.setObjective(z if objective == "closest" else x.sum())
        model.optimize()
        return np.asarray(x.X) if model.SolCount else None
