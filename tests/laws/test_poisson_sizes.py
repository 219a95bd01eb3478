"""Sizes of subsets, against enumeration, published counts and closed forms."""

from itertools import combinations

import numpy as np
import pytest
from poisson_samples import SIGMAS, agrees, sums_of, uniform
from scipy.special import comb
from scipy.stats import norm

from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.numbers import Moments
from lth_runner.laws.poisson.sizes import (
    entropy_n,
    log_rate_of_size,
    normal_sum_density,
    smallest_size,
    smallest_size_given,
    uniform_subset_density,
    uniform_sum_density,
)

GRID = np.linspace(-6, 6, 6001)


@pytest.mark.parametrize("terms", [1, 2, 3, 6, 20])
def test_the_density_of_a_sum_of_uniform_numbers(terms: int) -> None:
    density = uniform_sum_density(terms, -1, 1, np.linspace(-terms, terms, 20001))
    step = 2 * terms / 20000
    assert density.sum() * step == pytest.approx(1, rel=1e-3)
    assert (density * np.linspace(-terms, terms, 20001) ** 2).sum() * step == pytest.approx(terms / 3, rel=1e-3)
    assert uniform_sum_density(terms, -1, 1, terms + 0.1) == 0


def test_by_hand() -> None:
    np.testing.assert_allclose(uniform_sum_density(1, -1, 1, [-0.5, 0.9]), 0.5)
    np.testing.assert_allclose(uniform_sum_density(2, 0, 1, [0.25, 1.0, 1.5]), [0.25, 1.0, 0.5])
    np.testing.assert_allclose(uniform_sum_density(3, 0, 1, 1.5), 0.75)


def test_many_terms_are_normal() -> None:
    found = uniform_sum_density(20, -1, 1, np.array([0.0, 2.0]))
    np.testing.assert_allclose(found, normal_sum_density(20, Moments(0.0, 1 / 3), np.array([0.0, 2.0])), rtol=0.01)


def test_the_density_of_random_subsets_is_that_of_drawn_numbers() -> None:
    """Exact for any n: sums per instance in windows, within so many of their standard errors."""
    sums = sums_of(uniform(1, 4000, 5))[:, 1:]
    for w in (0.0, 0.4, 1.3):
        found = (np.abs(sums - w) < 0.1).sum(axis=1) / (0.2 * 32)
        points = w + np.linspace(-0.1, 0.1, 201)
        exact = uniform_subset_density(5, -1, 1, points).mean()
        assert found.mean() == pytest.approx(exact, abs=SIGMAS * found.std() / np.sqrt(4000))


@pytest.mark.slow
def test_the_smallest_size_within_epsilon() -> None:
    """Against every subset of n = 10, epsilon 0.02, w ~ U[-1, 1]; the law's own error is allowed 10 %.

    Averaged over the numbers inside the exponent it holds to size 2 only; given the numbers, to the end.
    """
    count, n, epsilon = 3000, 10, 0.02
    values, targets = uniform(2, count, n), uniform(3, count)
    sizes = np.array([bin(mask).count("1") for mask in range(1 << n)])
    near = np.abs(sums_of(values) - targets[:, None]) <= epsilon
    smallest = np.where(near, sizes, n + 1).min(axis=1)
    densities = np.stack([uniform_sum_density(k, -1, 1, targets) for k in range(1, 5)])
    law = smallest_size(densities, n, targets, epsilon).mean(axis=1)
    for k in range(3):
        assert agrees(int((smallest > k).sum()), count, float(law[k]), off=0.1)
    given = smallest_size_given(values, targets, epsilon, 5).mean(axis=1)
    for k in range(6):
        assert agrees(int((smallest > k).sum()), count, float(given[k]), off=0.1)
    assert (smallest > 1).mean() == given[1]


def test_the_published_counts_of_sizes() -> None:
    """n = 15, epsilon 0.01, targets U[-1, 1]: shipped statistics of Burkholz' repository, 100,000 trials."""
    targets = (np.arange(2000) + 0.5) / 1000 - 1
    densities = np.stack([uniform_sum_density(k, -1, 1, targets) for k in range(1, 6)])
    above = smallest_size(densities, 15, targets, 0.01).mean(axis=1)
    share = -np.diff(np.concatenate([[1.0], above]))
    np.testing.assert_allclose(100 * share[:5], [1.0, 13.7, 44.9, 35.8, 4.1], atol=2.2)
    np.testing.assert_allclose(100 * share[:5], [1.0, 13.8, 46.0, 37.2, 2.1], atol=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "k"), [(12, 4), (12, 6)])
def test_exactly_k_of_n(n: int, k: int) -> None:
    """Median of the best error over 800 draws, in ranks; the law's own error is allowed 6 %."""
    values, targets = uniform(4, 800, n), 0.3 * uniform(5, 800)
    subsets = np.array(list(combinations(range(n), k)))
    errors = np.abs(values[:, subsets].sum(axis=2) - targets[:, None]).min(axis=1)
    rate = np.exp(log_rate_of_size(values, k, targets))
    for level in (0.25, 0.5, 0.75):
        assert agrees(int((errors > -np.log1p(-level) / (2 * rate)).sum()), 800, 1 - level, off=0.06)


def test_half_of_all_numbers() -> None:
    """The rates of all sizes add up to that of any subset, up to its own normal approximation; k = n/2 leads."""
    values = uniform(6, 1, 40) + 0.5
    mean = values.sum(axis=1) / 2
    rates = np.array([np.exp(log_rate_of_size(values, k, mean))[0] for k in range(1, 40)])
    whole = 2.0**40 * norm.pdf(0, scale=np.sqrt((values**2).sum() / 4))
    assert rates.sum() == pytest.approx(whole, rel=0.02)
    assert rates.argmax() + 1 == 20


def test_sizes_scale_and_permute() -> None:
    values, targets = uniform(7, 9, 10), uniform(8, 9)
    rate = log_rate_of_size(values, 4, targets)
    np.testing.assert_allclose(log_rate_of_size(values[:, ::-1], 4, targets), rate)
    np.testing.assert_allclose(log_rate_of_size(10 * values, 4, 10 * targets), rate - np.log(10))
    np.testing.assert_allclose(log_rate_of_size(values, 6, values.sum(axis=1) - targets), rate)


def test_the_price_of_sparsity_is_entropy() -> None:
    assert entropy_n(0.5, 2.0**-20) == pytest.approx(20)
    assert entropy_n(0.11, 2.0**-20) == pytest.approx(40, rel=1e-3)
    assert np.log2(comb(1000, 110)) == pytest.approx(1000 / entropy_n(0.11, 0.5), rel=0.02)


def test_the_empty_subset_has_no_size() -> None:
    above = smallest_size(np.ones((2, 2)), 5, np.array([0.005, 0.5]), 0.01)
    np.testing.assert_allclose(above[:, 0], 0)
    np.testing.assert_allclose(above[:, 1], np.exp([0, -0.1, -0.3]))


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="20 terms"):
        uniform_sum_density(21, -1, 1, 0.0)
    with pytest.raises(ConfigError, match="terms"):
        log_rate_of_size(np.ones((1, 4)), 4, np.ones(1))
    with pytest.raises(ConfigError, match="share"):
        entropy_n(1.0, 0.1)
