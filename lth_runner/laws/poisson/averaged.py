"""The law averaged over the numbers, without drawing any: for n independent numbers of given mean and variance.

The mean of a random subset's sum is itself random, m ~ N(n mu / 2, n s^2 / 4), while its variance n (mu^2 + s^2) / 4
hardly is. All functions here assume that, and the normal density around m. They fail in the tails, where few numbers
decide: below failure rates of some 1e-2 the reach (`reach`) takes over; and they fail for distributions of which few
numbers make the sum (products, hyperbolic, below n = 12 or so). There the law given drawn numbers is right:
`quenched.tilted`, averaged over rows.

Source: the local law for fixed numbers (see the package); the average derived here.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.numbers import Moments

Z = np.linspace(-9.0, 9.0, 721)  # standard deviations of m, and their probabilities: the trapezoid is exact here
SHARES = norm.pdf(Z) / norm.pdf(Z).sum()
HALVINGS = 45
NEGLIGIBLE = 1e-7  # probability of so many usable numbers


def log_rates(n: int, number: Moments, targets: np.ndarray, shift_variance: float = 0.0) -> np.ndarray:
    """(T, Z) ln of the sums per unit of length at each target, for the m that `Z` lists with probabilities `SHARES`.

    Args:
        n: numbers, each of which a subset may take.
        number: the moments of one.
        targets: (T,).
        shift_variance: of a random shift of the target that is independent of the numbers.
    """
    checks.integer("n", n, at_least=1)
    checks.positive("the number's second moment", number.second)
    checks.not_negative("shift_variance", shift_variance)
    mean = n * number.mean / 2 + Z * math.sqrt(n * number.variance / 4 + shift_variance)
    away = np.atleast_1d(np.asarray(targets, float))[:, None] - mean
    return n * math.log(2) + norm.logpdf(away, scale=math.sqrt(n * number.second / 4))


def failure(n: int, number: Moments, targets: Any, epsilon: float, shift_variance: float = 0.0) -> np.ndarray:
    """(T,) the probability that no sum is within epsilon: E_m exp(-2 epsilon 2^n f_m(w)), 0 where |w| <= epsilon.

    Assumes: see the module; epsilon small beside the standard deviation of the sums.
    """
    checks.not_negative("epsilon", epsilon)
    targets = np.atleast_1d(np.asarray(targets, float))
    if epsilon == 0:
        return np.where(targets == 0, 0.0, 1.0)
    with np.errstate(over="ignore"):
        none = np.exp(-np.exp(log_rates(n, number, targets, shift_variance) + math.log(2 * epsilon)))
    return np.where((np.abs(targets) <= epsilon) & (shift_variance == 0), 0.0, none @ SHARES)


def error_quantile(n: int, number: Moments, targets: Any, level: float, usable: float = 1.0) -> float:
    """Below which the best error lies with probability `level`, over the numbers and over targets, all equally likely.

    Assumes: see the module.

    Args:
        usable: the probability that a number may be used at all; the others are pruned beforehand.
    """
    checks.fraction("level", level)
    checks.fraction("usable", usable)
    size = np.abs(np.atleast_1d(np.asarray(targets, float)))
    shares = binom.pmf(np.arange(n + 1), n, usable)
    rates = {k: log_rates(k, number, targets) for k in range(1, n + 1) if shares[k] > NEGLIGIBLE}

    def failed(log_error: float) -> float:
        with np.errstate(over="ignore"):
            none = sum(shares[k] * (np.exp(-2 * np.exp(rate + log_error)) @ SHARES) for k, rate in rates.items())
        return float(np.mean((none + shares[0]) * (size > math.exp(log_error))))

    low, high = -100.0, math.log(max(float(size.max()), 1e-40))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if failed(middle) <= 1 - level else (middle, high)
    return math.exp(high)


def bulk_error(n: int, half_width: float) -> float:
    """c sqrt(pi n / 6) / 2^(n + 1), the scale of the best error for U[-c, c] and targets in the bulk.

    The error is this times E exp(Z^2 / 2), E ~ Exp(1) and Z ~ N(0, 1) independent: its mean is infinite, its quantiles
    are not. Assumes: |w| small beside c sqrt(n).
    """
    return half_width * math.sqrt(math.pi * n / 6) * 2.0 ** -(n + 1)


def ratio_per_number(n: int) -> float:
    """sqrt(1 + 1 / n) / 2, what the next number leaves of every quantile of the best error, targets in the bulk."""
    checks.integer("n", n, at_least=1)
    return math.sqrt(1 + 1 / n) / 2


def bulk_n(epsilon: float, rate: float, second: float) -> float:
    """The n, not whole, at which a target at the mean m of typical numbers fails at a rate.

    Solves n = log2(1/epsilon) - 1 + log2(sqrt(pi n second / 2)) + log2 ln(1/rate): slope 1 in log2(1/epsilon), up to
    1/2 log2 n. Assumes: w = m. With second = 1/3, U[-1, 1], it is log2(1/epsilon) - 1 + 1/2 log2(pi n / 6) + ....
    """
    checks.positive("epsilon", epsilon)
    checks.positive("second", second)
    if not 0 < rate < 1:
        raise ConfigError(f"rate must lie between 0 and 1, got {rate}")
    n = 1.0
    for _ in range(HALVINGS):  # a contraction once n > 1
        n = max(1.0, math.log2(math.sqrt(math.pi * n * second / 2) * math.log(1 / rate) / (2 * epsilon)))
    return n


def least_n(failure_of: Callable[[int], float], rate: float, most: int) -> int | None:
    """The smallest n up to `most` at which a failure probability that falls with n is at most `rate`; None beyond."""
    checks.integer("most", most, at_least=1)
    return next((n for n in range(1, most + 1) if failure_of(n) <= rate), None)


def with_losses(failure_of: Callable[[int], float], n: int, usable: float) -> float:
    """The failure probability where each of n numbers may be used with probability `usable`: a binomial average.

    Of the products of the theorem's network half are lost to the sign of the first weight.
    """
    checks.fraction("usable", usable)
    shares = binom.pmf(np.arange(n + 1), n, usable)
    return float(sum(share * failure_of(k) for k, share in enumerate(shares) if share > 0))
