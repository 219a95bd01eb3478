"""What a SubsetSum instance, an answer and a solver are: arrays in, arrays out.

An instance is a row of n values and a target w; a choice is a bool per value; its error is |sum of chosen values - w|.
The empty subset counts. Two objectives:

closest: the smallest error.
sparsest: the fewest terms with error <= epsilon, ties by smaller error; where no subset is within epsilon, the closest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError

OBJECTIVES: Sequence[str] = ("closest", "sparsest")
LARGEST = 1e300  # so that no sum overflows


class Status(IntEnum):
    """What is known of one answer. BEYOND_EPSILON and UNSOLVED both count as failures."""

    WITHIN_EPSILON = 0
    BEYOND_EPSILON = 1  # the solver's best answer is not within epsilon; for an exact solver: none is
    UNSOLVED = 2  # the solver gave up (time limit, infeasible model); the choice is what it had, maybe empty


@dataclass(frozen=True)
class Subsets:
    """Answers to B instances, certified.

    Attributes:
        chosen: (B, n) bool, True = the value is in the subset.
        error: (B,) float64, recomputed from `chosen` alone.
        status: (B,) uint8 of `Status`.
    """

    chosen: np.ndarray
    error: np.ndarray
    status: np.ndarray


@runtime_checkable
class SubsetSumSolver(Protocol):
    """One way to solve instances. Implementations are frozen keyword-only dataclasses."""

    exact: ClassVar[bool]

    def solve(self, values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> Subsets:
        """Solves B instances.

        Args:
            values: (B, n) float64, one row per instance, or (1, n): one row shared by all.
            targets: (B,) float64.
            epsilon: absolute error allowed, same unit as `targets`; equality counts as within.
            objective: one of `OBJECTIVES`.

        Raises:
            ConfigError: input no instance of which could be solved: NaN, infinity, wrong shapes, n beyond the solver.
        """
        ...


@runtime_checkable
class SizeLimited(Protocol):
    """A solver whose licence may not cover every n."""

    def licence(self, n: int) -> str:
        """Whether the licence that comes with it covers instances of n values, in a sentence."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A solver that takes only so many values, and says so before anything is computed."""

    def check_size(self, n: int) -> None:
        """Refuses instances of n values.

        Raises:
            ConfigError: n is too large; the message says what to do.
        """
        ...


@runtime_checkable
class Licensed(Protocol):
    """A solver that needs a package or a licence, and can try whether they are there."""

    def check_licence(self, n: int) -> None:
        """Refuses instances of n values that it could not solve here.

        Raises:
            ConfigError: the message says what to do.
        """
        ...


def check_licence(solver: SubsetSumSolver, n: int) -> None:
    """Refuses instances of n values where the solver's package or licence is missing, or too small for them."""
    if isinstance(solver, Licensed):
        solver.check_licence(n)


def check_size(solver: SubsetSumSolver, n: int) -> None:
    """Refuses instances of n values where the solver has a limit below."""
    if isinstance(solver, Limited):
        solver.check_size(n)


def check_instances(values: np.ndarray, targets: np.ndarray, epsilon: float, objective: str) -> None:
    """Refuses input that is not B instances of finite numbers."""
    if values.ndim != 2 or targets.ndim != 1 or values.shape[0] not in (1, targets.size):
        raise ConfigError(
            f"values must have shape (B, n) or (1, n) and targets (B,), got {values.shape} and {targets.shape}"
        )
    checks.integer("n", values.shape[1], at_least=1)
    checks.positive("epsilon", epsilon)
    checks.choice("objective", objective, OBJECTIVES)
    for name, array in (("values", values), ("targets", targets)):
        if not max(array.max(initial=0), -array.min(initial=0)) <= LARGEST:  # NaN fails every comparison
            bad = np.count_nonzero(~(np.abs(array) <= LARGEST))
            raise ConfigError(f"{name} must be finite and at most {LARGEST:g} in magnitude, got {bad} that are not")


def certify(values: np.ndarray, targets: np.ndarray, chosen: np.ndarray, epsilon: float) -> Subsets:
    """Recomputes errors and statuses of B answers from the choices alone.

    For instance b, error_b = |sum_i chosen_bi * values_bi - targets_b|, in float64 whatever the solver used.
    """
    sums = np.einsum("bn,bn->b", np.broadcast_to(values, chosen.shape), chosen, dtype=np.float64)
    error = np.abs(sums - targets)
    status = np.where(error <= epsilon, Status.WITHIN_EPSILON, Status.BEYOND_EPSILON).astype(np.uint8)
    return Subsets(chosen, error, status)
