"""What the laws say of a construction's median weight error, before it is built: nothing fitted.

For constructions that choose each weight by itself, the closest subset of random numbers or the closest number.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.laws.curve import every_weight
from lth_runner.laws.instances import Law
from lth_runner.laws.poisson.quenched import failure, tilted
from lth_runner.problem import Problem

HALVINGS = 50
SAMPLE = 1 << 19  # of the numbers, for their distribution
PATH = ("law of weight errors",)

Failures = Callable[[float], list[np.ndarray]]  # of an error: the probabilities of a larger one, (draws,) each


@runtime_checkable
class WeightErrors(Protocol):
    """A law of weight errors. Implementations are frozen keyword-only dataclasses."""

    @property
    def holds_for(self) -> Mapping[str, Any]:
        """Settings of the method without which it says nothing, as plain values."""
        ...

    def medians(self, problem: Problem, values: Sequence[int]) -> list[float]:
        """For each n the median error over the target's weights, of the worse one where a weight has two problems.

        Args:
            values: of the method's n.

        Raises:
            ConfigError: there is no target.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class _OneByOne(ABC):
    """A law of weights that are chosen one by one.

    Attributes:
        law: of the numbers.
        per_n: numbers that each problem of a weight draws per n of the method.
        draws: weights.
        holds_for: see `WeightErrors`.
    """

    law: Law
    per_n: int
    draws: int
    holds_for: dict[str, Any]

    def __post_init__(self) -> None:
        checks.integer("per_n", self.per_n, at_least=1)
        checks.integer("draws", self.draws, at_least=1)

    def medians(self, problem: Problem, values: Sequence[int]) -> list[float]:
        """See `WeightErrors`."""
        weights, law = _fitted(problem, self.law)
        targets = spread(weights, self.draws)
        failures = self._failures(problem, law, targets)
        return [_median(failures(n * self.per_n), targets) for n in values]

    @abstractmethod
    def _failures(self, problem: Problem, law: Law, targets: np.ndarray) -> Callable[[int], Failures]:
        """For so many numbers and an error, the probability of a larger one for each problem of a weight."""


@dataclass(frozen=True, kw_only=True)
class SubsetErrors(_OneByOne):
    """The closest subset: the local Poisson law given numbers, averaged over numbers that are drawn anew.

    Attributes:
        most: usable ones that a sum may take; further ones are left aside. None: all.
        Others: see `_OneByOne`; each weight that is drawn has numbers of its own.
    """

    most: int | None

    def _failures(self, problem: Problem, law: Law, targets: np.ndarray) -> Callable[[int], Failures]:
        def of(numbers: int) -> Failures:
            values, usable = law.draw(problem.streams, (*PATH, "values"), self.draws, 0, numbers)
            if self.most is not None:
                usable = usable & (np.cumsum(usable, axis=2) <= self.most)
            laws = [tilted(given, targets) for given in np.where(usable, values, 0.0)]
            return lambda error: [failure(each, error) for each in laws]

        return of


@dataclass(frozen=True, kw_only=True)
class OneErrors(_OneByOne):
    """The closest of n independent numbers, or none: P(error > e) = (1 - P(|a - w| <= e))^n where |w| > e. Exact,
    but that two problems of one weight count as independent.

    Attributes: see `_OneByOne`.
    """

    def _failures(self, problem: Problem, law: Law, targets: np.ndarray) -> Callable[[int], Failures]:
        values, usable = law.draw(problem.streams, (*PATH, "numbers"), 1, 0, SAMPLE)
        drawn = [np.sort(row[kept]) for row, kept in zip(values[:, 0], usable[:, 0], strict=True)]

        def failures(numbers: int, error: float) -> list[np.ndarray]:
            near = [np.searchsorted(row, targets + error) - np.searchsorted(row, targets - error) for row in drawn]
            return [np.where(np.abs(targets) <= error, 0, (1 - hits / SAMPLE) ** numbers) for hits in near]

        return lambda numbers: partial(failures, numbers)


def spread(weights: np.ndarray, count: int) -> np.ndarray:
    """(count,) weights evenly spread over all of them in their order."""
    return np.sort(weights)[((np.arange(count) + 0.5) / count * weights.size).astype(np.int64)]


def _median(failures: Failures, targets: np.ndarray) -> float:
    """The error that half of the weights exceed in any of their problems."""
    low, high = -100.0, math.log(max(float(np.abs(targets).max()), 1e-40))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fine = np.prod([1 - failed for failed in failures(math.exp(middle))], axis=0).mean() >= 0.5
        low, high = (low, middle) if fine else (middle, high)
    return math.exp(high)


def _fitted(problem: Problem, law: Law) -> tuple[np.ndarray, Law]:
    weights = every_weight(problem)
    if weights is None:
        raise ConfigError("a law of weight errors needs a target network: choose a target, or leave out study.laws")
    return weights, law.fitted((float(weights.min()), float(weights.max())))
