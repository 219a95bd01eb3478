"""The law averaged over the numbers, against drawn numbers, quadrature and its own limits."""

import math

import numpy as np
import pytest
from poisson_samples import agrees, best_errors, uniform

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.hyperbolic import Hyperbolic
from lth_runner.distributions.normal import Normal
from lth_runner.distributions.signs import Signs
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.poisson import averaged, quenched
from lth_runner.laws.poisson.numbers import Moments, equally_likely, moments, products

UNIFORM = Moments(0.0, 1 / 3)
COUNT = 2000


@pytest.mark.parametrize(
    ("distribution", "mean", "variance", "off"),
    [
        (Uniform(low=-1.0, high=3.0), 1.0, 4 / 3, 1e-7),
        (Normal(std=2.0), 0.0, 4.0, 1e-3),
        (Hyperbolic(low=0.01, high=1.0), 0.0, (1 - 1e-4) / (2 * math.log(100)), 1e-6),
        (Signs(size=3.0), 0.0, 9.0, 1e-12),
    ],
)
def test_moments_of_distributions(distribution: Normal, mean: float, variance: float, off: float) -> None:
    found = moments(equally_likely(distribution))
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.variance == pytest.approx(variance, rel=off)
    assert found.second == pytest.approx(variance + mean**2, rel=off)


def test_moments_of_products_multiply() -> None:
    first, second = (equally_likely(Uniform(low=low, high=1.0), 500) for low in (0.0, -1.0))
    assert moments(products(first, second)).second == pytest.approx(1 / 9, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 13])
def test_failures_and_quantiles_are_those_of_drawn_numbers(n: int) -> None:
    """Targets in the bulk; the law's own error is allowed 10 % at n = 10 and 5 % at 13."""
    errors = best_errors(uniform(n, COUNT, n), np.full(COUNT, 0.3))
    off = 0.1 if n == 10 else 0.05
    for level in (0.1, 0.5, 0.9):
        error = averaged.error_quantile(n, UNIFORM, 0.3, level)
        assert agrees(int((errors > error).sum()), COUNT, 1 - level, off)
        assert averaged.failure(n, UNIFORM, 0.3, error)[0] == pytest.approx(1 - level, abs=1e-9)


def test_the_average_is_that_of_the_law_given_the_numbers() -> None:
    """Without a single exact sum: 20,000 normal rows, whose v varies where the average takes its mean."""
    values, targets = np.random.default_rng(1).normal(size=(20_000, 40)), np.full(20_000, 2.0)
    law = quenched.normal(values, targets)
    for epsilon in (1e-12, 3e-12):
        given = float(quenched.mean_failure(law, epsilon)[0])
        assert averaged.failure(40, Moments(0.0, 1.0), 2.0, epsilon)[0] == pytest.approx(given, abs=0.02)


def test_a_shift_of_the_target_is_averaged() -> None:
    shifts, shares = np.sqrt(0.5) * averaged.Z[::20], averaged.SHARES[::20] / averaged.SHARES[::20].sum()
    one_by_one = averaged.failure(12, UNIFORM, 0.2 - shifts, 1e-4)
    together = averaged.failure(12, UNIFORM, 0.2, 1e-4, shift_variance=0.5)
    assert together[0] == pytest.approx(one_by_one @ shares, rel=1e-4)


def test_the_scale_in_the_bulk() -> None:
    """E exp(Z^2 / 2) c sqrt(pi n / 6) / 2^(n + 1): the median of E exp(Z^2 / 2) by quadrature."""
    for n in (12, 24):
        median = averaged.error_quantile(n, Moments(0.0, 0.25 / 3), 0.01, 0.5) / averaged.bulk_error(n, 0.5)
        spread = np.exp(averaged.Z**2 / 2)
        half = np.exp(-median / spread) @ averaged.SHARES
        assert half == pytest.approx(0.5, abs=2e-3)


def test_each_number_leaves_half_and_a_little() -> None:
    quantiles = [averaged.error_quantile(n, UNIFORM, 0.01, 0.3) for n in (19, 20)]
    assert averaged.ratio_per_number(19) == pytest.approx(0.513, abs=5e-4)
    assert averaged.ratio_per_number(10**9) == pytest.approx(0.5)
    small = [averaged.bulk_error(n, 1.0) for n in (19, 20)]
    assert small[1] / small[0] == pytest.approx(averaged.ratio_per_number(19))
    assert quantiles[1] / quantiles[0] == pytest.approx(averaged.ratio_per_number(19), rel=1e-3)


def test_the_n_for_a_failure_rate() -> None:
    for epsilon in (1e-2, 1e-5):
        n = averaged.bulk_n(epsilon, 0.05, 1 / 3)
        written = math.log2(1 / epsilon) - 1 + 0.5 * math.log2(math.pi * n / 6) + math.log2(math.log(20))
        assert n == pytest.approx(written)
        v = n / 12
        assert math.exp(-2 * epsilon * 2**n / math.sqrt(2 * math.pi * v)) == pytest.approx(0.05)
    slope = averaged.bulk_n(1e-30, 0.05, 1 / 3) - averaged.bulk_n(2e-30, 0.05, 1 / 3)
    assert slope == pytest.approx(1, abs=0.01)
    assert averaged.bulk_n(0.5, 0.9, 1.0) >= 1


def test_the_least_n_is_the_first_that_does() -> None:
    def failure_of(n: int) -> float:
        return float(averaged.failure(n, UNIFORM, 0.5, 0.01)[0])

    n = averaged.least_n(failure_of, 0.05, 40)
    assert n is not None
    assert failure_of(n) <= 0.05 < failure_of(n - 1)
    assert averaged.least_n(failure_of, 0.05, n - 1) is None


def test_losses_are_binomial() -> None:
    assert averaged.with_losses(lambda k: float(k == 2), 4, 0.5) == pytest.approx(6 / 16)
    assert averaged.with_losses(lambda k: 0.5**k, 7, 1.0) == pytest.approx(0.5**7)


def test_limits() -> None:
    assert averaged.failure(10, UNIFORM, [0.005, 0.5], 0.01)[0] == 0  # the empty subset
    assert averaged.failure(10, UNIFORM, 0.5, 0.0)[0] == 1
    scaled = averaged.error_quantile(12, Moments(0.0, 100 / 3), 3.0, 0.5)
    assert scaled == pytest.approx(10 * averaged.error_quantile(12, UNIFORM, 0.3, 0.5), rel=1e-9)
    shifted = averaged.failure(12, Moments(0.5, 1 / 12), 3.0, 1e-3)  # U[0, 1] at its mean, 12 / 4
    assert shifted[0] < averaged.failure(12, Moments(0.5, 1 / 12), 0.5, 1e-3)[0]


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="second moment"):
        averaged.failure(3, Moments(0.0, 0.0), 0.1, 0.1)
    with pytest.raises(ConfigError, match="rate"):
        averaged.bulk_n(0.1, 1.0, 1.0)
