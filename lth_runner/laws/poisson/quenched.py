"""The law given the numbers: how many of their 2^n sums lie near a target, and how near the best one is.

Numbers that are 0 add no sums and are not counted in n.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.tilt import tilt

HALVINGS = 60  # of an interval of ln(error): to the last bit


@dataclass(frozen=True)
class LocalLaw:
    """The sums near the target of each of B instances.

    Attributes:
        log_rate: (B,) ln of the sums per unit of length at the target; -inf where there are none.
        slope: (B,) of log_rate against the target.
        known: (B,) distance to the nearest sum that needs no law: of none, all, all positive or all negative numbers.
    """

    log_rate: np.ndarray
    slope: np.ndarray
    known: np.ndarray


def normal(values: np.ndarray, targets: np.ndarray) -> LocalLaw:
    """2^n f(w), f normal with the exact mean m = sum a / 2 and variance v = sum a^2 / 4 of a random subset's sum.

    Assumes: many numbers, none of which dominates, and targets within a few standard deviations of m. Fails: in the
    tails, by factors; it knows no end of the reach; for numbers on a grid (use `exact_hit`). Source: the normal
    approximation, in the local law of Borgs, Chayes, Mertens and Nair.

    Args:
        values: (B, n), the numbers of each instance.
        targets: (B,).
    """
    values, targets = _checked(values, targets)
    mean, variance = values.sum(axis=1) / 2, (values**2).sum(axis=1) / 4
    with np.errstate(divide="ignore", invalid="ignore"):  # no numbers at all: no rate
        log_density = -((targets - mean) ** 2) / (2 * variance) - 0.5 * np.log(2 * np.pi * variance)
        slope = -(targets - mean) / variance
    there = variance > 0
    log_rate = np.count_nonzero(values, axis=1) * math.log(2) + log_density
    return LocalLaw(np.where(there, log_rate, -np.inf), np.where(there, slope, 0.0), _known(values, targets))


def tilted(values: np.ndarray, targets: np.ndarray) -> LocalLaw:
    """The same with the saddlepoint density: prod(1 + e^(t a)) e^(-t w) / sqrt(2 pi v_t), t such that the mean is w.

    The weight of a subset is tilted by e^(t * its sum): v_t = sum a^2 p (1 - p), p = 1 / (1 + e^(-t a)), sum a p = w.
    Times exp(k4 / 8 - 5 k3^2 / 24) with the standardised third and fourth cumulants of the tilted sum, the next order
    in 1/n. Right in the tails, too, and 0 beyond the reach, so that it holds the reach floor. Assumes: many numbers.
    Fails: for n below 8 or so and for one number that dominates (the sums are no independent points then), within one
    number's size of the end of the reach, on grids. Source: Daniels 1954, Ann. Math. Statist. 25; for subset sums
    derived here.

    Args:
        values: (B, n).
        targets: (B,).
    """
    values, targets = _checked(values, targets)
    log_rate, slope = np.empty(targets.size), np.empty(targets.size)
    tilt(values, targets, log_rate, slope)
    return LocalLaw(log_rate, slope, _known(values, targets))


def expected(law: LocalLaw, epsilon: Any) -> np.ndarray:
    """Sums within epsilon of the target, in the mean: rate * 2 sinh(slope epsilon) / slope, 2 epsilon rate at its top.

    Assumes: log_rate is straight over the window, epsilon small beside the standard deviation of the sums.

    Args:
        epsilon: 0 or more, a number or (B,).
    """
    epsilon = np.asarray(epsilon, float)
    x = np.abs(law.slope) * epsilon
    # ln(2 epsilon sinh(x) / x), also where sinh overflows
    widening = np.where(x > 1e-4, x + np.log(-np.expm1(-2 * np.maximum(x, 1e-4)) / np.maximum(2 * x, 2e-4)), x**2 / 6)
    with np.errstate(divide="ignore", over="ignore"):
        return np.exp(law.log_rate + np.log(2 * epsilon) + widening)


def failure(law: LocalLaw, epsilon: Any) -> np.ndarray:
    """(B,) the probability that no sum is within epsilon: exp(-expected), and 0 where a known sum is."""
    return np.where(law.known <= epsilon, 0.0, np.exp(-expected(law, epsilon)))


def exact_hit(law: LocalLaw, step: float) -> np.ndarray:
    """(B,) the probability that no sum equals the target, numbers and targets multiples of `step`: exp(-step rate).

    Assumes: the numbers have no larger common step, and far fewer sums than 2^n coincide by necessity. Fails: for
    n near log2 of the number of grid places (reach and repeated sums: too small by tens of percent).
    """
    checks.positive("step", step)
    return np.where(law.known < step / 2, 0.0, np.exp(-np.exp(law.log_rate) * step))


def error_quantile(law: LocalLaw, level: Any) -> np.ndarray:
    """(B,) below which the best error lies with probability `level`: `failure` solved for epsilon.

    -ln(1 - level) / (2 rate) where the rate is flat; at most the distance to the nearest known sum.
    """
    log_ratio = np.log(-np.log1p(-np.asarray(level, float))) - law.log_rate - math.log(2)  # ln of the flat error
    steep = np.abs(law.slope)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        flat = np.exp(log_ratio)
        error = np.where(steep * flat > 1e-6, np.arcsinh(steep * flat) / steep, flat)
    return np.minimum(np.where(np.isnan(error), np.inf, error), law.known)


def mean_failure(law: LocalLaw, epsilons: Any) -> np.ndarray:
    """(E,) the share of instances that fail, all of them equally likely."""
    return np.array([failure(law, epsilon).mean() for epsilon in np.atleast_1d(np.asarray(epsilons, float))])


def mean_error_quantile(law: LocalLaw, level: float) -> float:
    """The quantile of the best error over all instances, each equally likely: `mean_failure` solved for epsilon."""
    checks.fraction("level", level)
    low, high = -100.0, math.log(max(float(law.known.max()), 1e-40))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if mean_failure(law, math.exp(middle))[0] <= 1 - level else (middle, high)
    return math.exp(high)


def _known(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    ends = np.minimum(values, 0).sum(axis=1), np.maximum(values, 0).sum(axis=1)
    return np.min([np.abs(targets - end) for end in (0.0, *ends, ends[0] + ends[1])], axis=0)


def _checked(values: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, targets = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(targets, np.float64)
    if values.ndim != 2 or targets.shape != values.shape[:1]:
        raise ConfigError(
            f"values must have shape (B, n) and targets (B,), got {values.shape} and {targets.shape}: give every "
            "instance its own row"
        )
    if not (np.isfinite(values).all() and np.isfinite(targets).all()):
        raise ConfigError("values and targets must be finite: leave out NaN and infinity")
    return values, targets
