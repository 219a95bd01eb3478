"""How many numbers the subset takes: the smallest size that is within epsilon, and exactly k of n."""

import math
from typing import Any

import numpy as np
from scipy.special import comb, gammaln
from scipy.stats import norm

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.numbers import Moments

MOST_UNIFORM = 20  # terms up to which Irwin and Hall's alternating sum keeps six digits


def uniform_sum_density(terms: int, low: float, high: float, w: Any) -> np.ndarray:
    """The density at w of a sum of `terms` numbers U[low, high]. Exact: Irwin and Hall.

    Raises:
        ConfigError: more than 20 terms, of which float64 loses too many digits: take `normal_sum_density`.
    """
    checks.integer("terms", terms, at_least=1)
    if terms > MOST_UNIFORM or low >= high:
        raise ConfigError(
            f"needs low < high and at most {MOST_UNIFORM} terms, got {low}, {high} and {terms}: take the normal density"
        )
    x = (np.asarray(w, float) - terms * low) / (high - low)
    x = np.minimum(x, terms - x)  # symmetric; the lower half is the exact one
    k = np.arange(terms + 1).reshape(-1, *[1] * x.ndim)
    below = np.where(x >= k, np.maximum(x - k, 0.0) ** (terms - 1), 0.0)
    inside = (x >= 0) & (x <= terms)
    total = ((-1.0) ** k * comb(terms, k) * below).sum(axis=0) / math.factorial(terms - 1)
    return np.where(inside, np.maximum(total, 0.0), 0.0) / (high - low)


def normal_sum_density(terms: Any, number: Moments, w: Any) -> np.ndarray:
    """The same for any distribution: normal. Assumes: many terms; fails for one to three, and in the tails."""
    terms = np.asarray(terms)
    return norm.pdf(w, terms * number.mean, np.sqrt(terms * number.variance))


def uniform_subset_density(n: int, low: float, high: float, w: Any) -> np.ndarray:
    """The density at w of a random subset's sum, averaged over n numbers U[low, high]; that of no numbers is left out.

    2^-n sum_k C(n, k) (Irwin and Hall's density of k terms). Exact, n <= 20.
    """
    terms = range(1, n + 1)
    return sum((comb(n, k) * uniform_sum_density(k, low, high, w) for k in terms), np.zeros(np.shape(w))) / 2.0**n


def smallest_size(densities: np.ndarray, n: int, w: Any, epsilon: float) -> np.ndarray:
    """P(K > k), k = 0 to K: no subset of at most k of n numbers is within epsilon of w.

    exp(-sum over 1 <= j <= k of 2 epsilon C(n, j) f_j(w)), and 0 where |w| <= epsilon, which takes no number. Assumes:
    sums of different subsets are independent points; the average over the numbers stands inside the exponent. Fails:
    too small at larger sizes, where unlucky numbers decide (n = 10, size > 3: 0.09 for 0.15); take
    `smallest_size_given`. Source: derived here.

    Args:
        densities: (K, *w.shape), f_j(w) of the sum of j = 1, 2, ... numbers.
    """
    checks.positive("epsilon", epsilon)
    w = np.asarray(w, float)
    j = np.arange(1, len(densities) + 1).reshape(-1, *[1] * w.ndim)
    hits = np.concatenate([np.zeros((1, *w.shape)), np.cumsum(2 * epsilon * comb(n, j) * densities, axis=0)])
    return np.where(np.abs(w) <= epsilon, 0.0, np.exp(-hits))


def smallest_size_given(values: np.ndarray, targets: np.ndarray, epsilon: float, most: int) -> np.ndarray:
    """(most + 1, B) the same given the numbers: sizes 0 and 1 counted, larger ones by `log_rate_of_size`.

    Assumes: see there. Fails: near n, and by some 5 % for pairs, whose density is not normal. Source: derived here.

    Args:
        values: (B, n), n > most.
        targets: (B,).
    """
    checks.positive("epsilon", epsilon)
    checks.integer("most", most, at_least=1)
    empty = np.abs(targets) <= epsilon
    single = (np.abs(values - targets[:, None]) <= epsilon).any(axis=1)
    rates = [np.exp(log_rate_of_size(values, size, targets)) for size in range(2, most + 1)]
    hits = np.cumsum([np.zeros(targets.size), *rates], axis=0) * 2 * epsilon
    return np.where(np.stack([empty, *[empty | single] * most]), 0.0, np.exp(-np.concatenate([hits[:1], hits])))


def log_rate_of_size(values: np.ndarray, terms: int, targets: np.ndarray) -> np.ndarray:
    """(B,) ln of the sums of exactly k of n given numbers per unit of length: ln(C(n, k) f).

    f normal, with the exact mean k a and variance k (1 - k / n) s^2 of a sum drawn without replacement, s^2 with
    n - 1 below. So log2 of the sums is n H2(k / n) up to a logarithm: the price of sparsity has one log. Assumes: k
    and n - k not small; fails for k = 1, n - 1 and beyond the reach of k numbers. Source: derived here.

    Args:
        values: (B, n).
        targets: (B,).
    """
    n = values.shape[1]
    checks.integer("terms", terms, at_least=1, at_most=n - 1)
    variance = terms * (1 - terms / n) * values.var(axis=1, ddof=1)
    log_count = gammaln(n + 1) - gammaln(terms + 1) - gammaln(n - terms + 1)
    return log_count + norm.logpdf(targets, terms * values.mean(axis=1), np.sqrt(variance))


def entropy_n(share: float, epsilon: float) -> float:
    """log2(1 / epsilon) / H2(k / n), the numbers that sums of a share k / n of them need, up to a logarithm of n."""
    checks.fraction("share", share)
    if share in (0, 1):
        raise ConfigError(f"share must lie between 0 and 1, got {share}")
    bits = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
    return math.log2(1 / epsilon) / bits
