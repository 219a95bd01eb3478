"""Intervals and fits against textbook values, definitions and laws."""

import numpy as np
import pytest
from scipy.stats import binom

from lth_runner.laws.statistics import (
    binomial_interval,
    bootstrap,
    crossing,
    decay,
    line,
    order_quantile,
    quantile_interval,
)

NEVER = 1 << 62


@pytest.mark.parametrize(
    ("successes", "low", "high"), [(0, 0.0, 0.3085), (1, 0.0025, 0.4450), (5, 0.1871, 0.8129), (10, 0.6915, 1.0)]
)
def test_intervals_of_ten_trials_as_tabulated(successes: int, low: float, high: float) -> None:
    found = binomial_interval(successes, 10, 0.95)
    np.testing.assert_allclose(found, (low, high), atol=5e-5)


def test_intervals_cover_at_least_as_often_as_they_say() -> None:
    trials, confidence = 30, 0.9
    counts = np.arange(trials + 1)
    low, high = binomial_interval(counts, trials, confidence)
    for p in np.linspace(0.001, 0.999, 200):
        covering = (low <= p) & (p <= high)
        assert binom.pmf(counts, trials, p)[covering].sum() >= confidence


def test_the_quantile_is_the_smallest_n_that_serves_the_share() -> None:
    values = np.repeat(np.arange(1, 101), 3)
    assert quantile_interval(values, 0.95, 0.95)[0] == 95
    assert quantile_interval(values, 0.951, 0.95)[0] == 96


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95])
def test_the_quantile_interval_holds_every_n_that_its_share_does_not_exclude(share: float) -> None:
    values = np.random.default_rng(1).geometric(0.1, size=400)
    _, low, high = quantile_interval(values, share, 0.95)
    counts = np.array([np.count_nonzero(values <= n) for n in range(values.max() + 1)])
    below, above = binomial_interval(counts, values.size, 0.95)
    assert low == np.flatnonzero(above >= share)[0]
    assert high == np.flatnonzero(below >= share)[0]


def test_a_share_that_few_values_cannot_prove_has_no_upper_end() -> None:
    values = np.append(np.arange(20), NEVER)
    assert quantile_interval(values, 0.95, 0.95) == (19, 17, NEVER)


def test_the_crossing_reads_between_whole_numbers() -> None:
    values = np.array([1, 2, 2, 2, 2, 3, 3, 3, 3, 3])
    assert crossing(values, 0.5) == pytest.approx(2.0)  # half of the values are <= 2
    assert crossing(values, 0.3) == pytest.approx(1.5)  # at 1 there is a tenth
    assert crossing(np.zeros(5, int), 0.9) == 0


def test_a_line_is_fitted_exactly() -> None:
    x = np.array([1.0, 2.0, 5.0])
    np.testing.assert_allclose(line(x, 3 * x - 4), (3, -4), atol=1e-12)


def test_the_bootstrap_interval_of_a_mean_is_the_normal_one() -> None:
    """Of 2000 resamples an end wanders by about 3 % of the half width; 20 % are six standard deviations."""
    sample = np.random.default_rng(0).normal(size=(400, 2)) * [1, 5]

    def mean(rows: np.ndarray) -> np.ndarray:
        return rows.mean(axis=0)

    found = bootstrap(sample, mean, 2000, 0.95, np.random.default_rng(2))
    for estimate, column in zip(found, sample.T, strict=True):
        half = 1.96 * column.std() / 20
        assert estimate.value == pytest.approx(column.mean())
        assert estimate.low == pytest.approx(column.mean() - half, abs=0.2 * half)
        assert estimate.high == pytest.approx(column.mean() + half, abs=0.2 * half)
    assert found == bootstrap(sample, mean, 2000, 0.95, np.random.default_rng(2))


def test_failures_that_halve_at_each_step_decay_by_a_half() -> None:
    failures = 2 ** np.arange(16, 0, -1)
    found = decay(failures, 3, 12, 0.95)
    assert found.value == 0.5
    assert 0.5 - 0.01 < found.low < 0.5 < found.high < 0.5 + 0.01


def test_an_empty_stretch_knows_nothing_of_its_decay() -> None:
    found = decay(np.array([4, 2, 1]), 1, 1, 0.95)
    assert (found.low, found.high) == (0, 1)


def test_a_quantile_of_continuous_values_and_how_often_its_interval_holds_it() -> None:
    """Of 400 samples of 99, as many intervals miss as the binomial law says: at most 5 %, and chance."""
    draws = np.random.default_rng(0).exponential(size=(400, 99))
    found = [order_quantile(sample, 0.9, 0.95) for sample in draws]
    missed = sum(not estimate.low <= np.log(10) <= estimate.high for estimate in found)
    assert missed <= 40  # 20 expected at most; more than 40 with probability 2e-5
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in found)
    whole = order_quantile(np.arange(1.0, 102.0), 0.5, 0.95)
    assert (whole.value, whole.low, whole.high) == (51, 41, 61)  # P(41 <= Binomial(101, 1/2) <= 60) = 0.954
