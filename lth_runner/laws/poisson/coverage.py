"""All targets of an interval at once: the probability that no gap between the sums is too wide."""

from collections.abc import Callable

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.quenched import LocalLaw, normal

POINTS = 401
Density = Callable[[np.ndarray, np.ndarray], LocalLaw]


def coverage(values: np.ndarray, low: float, high: float, epsilon: float, density: Density = normal) -> np.ndarray:
    """(B,) the probability that every target in [low, high] is within epsilon of a sum, given the numbers.

    exp(-[integral of rho e^(-2 epsilon rho) dw + e^(-2 epsilon rho(low))]), rho = 2^n f(w): gaps begin at a sum that
    has no other within 2 epsilon behind it, or before the first. Assumes: gaps are rare, and so independent. Fails: at
    low coverage and small n, where the Poisson law is too pessimistic (.09 for .26 at n = 10, epsilon 0.01), and at
    large n, where reach decides and the normal density has none. Costs about log2 ln(1 / (epsilon delta)) numbers more
    than one target. Source: derived here.

    Args:
        values: (B, n).
        density: `quenched.normal` or `quenched.tilted`; beyond the reach the latter knows no sums, and so sees no gap
            there: leave out rows whose reach ends before the interval.
    """
    checks.positive("epsilon", epsilon)
    if low >= high:
        raise ConfigError(f"low must be below high, got low={low} and high={high}")
    grid = np.linspace(low, high, POINTS)
    rho = np.stack([np.exp(density(values, np.full(len(values), w)).log_rate) for w in grid])  # (W, B)
    gaps = np.trapezoid(rho * np.exp(-2 * epsilon * rho), grid, axis=0)
    return np.exp(-gaps - np.exp(-2 * epsilon * rho[0]))
