"""Distributions as equally likely numbers: from them the laws take moments, whatever the distribution."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.distributions.interface import Distribution

LEVELS = 1 << 14  # even, so that no level is the median, where some quantile functions jump


@dataclass(frozen=True)
class Moments:
    """Of one random number: its mean and its variance."""

    mean: float
    variance: float

    @property
    def second(self) -> float:
        """The mean square."""
        return self.variance + self.mean**2


def equally_likely(distribution: Distribution, count: int = LEVELS) -> np.ndarray:
    """(count,) numbers that stand for a distribution: its quantiles at the levels (i + 1/2) / count.

    Fails for heavy tails: what lies beyond the last level counts as lying there, for N(0, 1) 2e-4 of the variance.
    """
    checks.integer("count", count, at_least=1)
    return distribution.quantile((np.arange(count) + 0.5) / count)


def products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(F * S,) equally likely products of two independent numbers."""
    return np.outer(first, second).ravel()


def moments(numbers: np.ndarray) -> Moments:
    """Of equally likely numbers."""
    return Moments(float(np.mean(numbers)), float(np.var(numbers)))
