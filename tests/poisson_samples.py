"""What the tests of the Poisson law share: exact answers by enumeration, and tolerances that follow from counts."""

import math

import numpy as np

from lth_runner.laws.statistics import binomial_interval
from lth_runner.subset_sum.exhaustive import all_sums

SURE = 1e-9  # each statistical comparison fails with at most this probability if the law is right; seeds are fixed
SIGMAS = 6.1  # of a normal: the same


def uniform(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def sums_of(values: np.ndarray) -> np.ndarray:
    """(B, 2^n)."""
    return np.stack([all_sums(row) for row in values])


def best_errors(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.array([np.abs(all_sums(row) - w).min() for row, w in zip(values, targets, strict=True)])


def farthest_from_uniform(levels: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance of (B,) levels from the uniform distribution."""
    ordered, count = np.sort(levels), levels.size
    steps = np.arange(count + 1) / count
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def chance_distance(count: int) -> float:
    """What that distance exceeds with probability SURE at most (Dvoretzky, Kiefer, Wolfowitz; Massart's constant)."""
    return math.sqrt(math.log(2 / SURE) / (2 * count))


def agrees(hits: int, count: int, probability: float, off: float = 0.0) -> bool:
    """Whether a count fits a probability that may be `off` by so large a factor less 1, the law's own error."""
    low, high = binomial_interval(hits, count, 1 - SURE)
    return bool(low / (1 + off) <= probability <= high * (1 + off))
