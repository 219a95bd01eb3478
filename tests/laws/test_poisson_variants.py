"""Coverage, dimensions, moving and frozen numbers, against enumeration and their limits."""

import numpy as np
import pytest
from poisson_samples import agrees, best_errors, sums_of, uniform

from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.averaged import failure
from lth_runner.laws.poisson.coverage import coverage
from lth_runner.laws.poisson.numbers import Moments
from lth_runner.laws.poisson.quenched import error_quantile, normal, tilted
from lth_runner.laws.poisson.quenched import failure as quenched_failure
from lth_runner.laws.poisson.variants import (
    box_error_quantile,
    box_failure,
    box_log_rate,
    frozen_failure,
    moving_failure,
)

UNIFORM = Moments(0.0, 1 / 3)


@pytest.mark.slow
def test_coverage_of_an_interval() -> None:
    """Gaps of all sums, so that every real target counts; the law's own error is allowed 5 %."""
    values = uniform(1, 1000, 12)
    sums = np.sort(sums_of(values), axis=1)
    wide = (np.diff(sums, axis=1) > 0.02) & (sums[:, 1:] > -0.5 + 0.01) & (sums[:, :-1] < 0.5 - 0.01)
    uncovered = int(wide.any(axis=1).sum())
    assert agrees(uncovered, 1000, 1 - float(coverage(values, -0.5, 0.5, 0.01).mean()), off=0.05)


def test_coverage_by_the_saddlepoint_density_differs_little_in_the_bulk() -> None:
    values = uniform(13, 30, 14)
    values *= np.sign(values) * np.resize([1, -1], 14)  # as many of either sign, so that the interval is in the bulk
    one, other = (coverage(values, -0.3, 0.3, 0.0007, density) for density in (normal, tilted))
    np.testing.assert_allclose(one, other, atol=0.1)
    assert (one != other).all()


def test_coverage_of_a_short_interval_is_that_of_a_target() -> None:
    values = uniform(2, 20, 10)
    law = normal(values, np.full(20, 0.3))
    one = -np.log(coverage(values, 0.3, 0.3 + 1e-9, 0.001))
    np.testing.assert_allclose(one, quenched_failure(law, 0.001), rtol=1e-5)
    narrow, wide = (coverage(values, 0.0, high, 0.01) for high in (0.2, 0.6))
    assert (wide <= narrow).all()
    scaled = coverage(5 * values, 0.0, 3.0, 0.05)
    np.testing.assert_allclose(scaled, wide, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "n"), [(2, 12), (3, 13)])
def test_errors_in_several_dimensions(d: int, n: int) -> None:
    """The law's own error is allowed 10 %: in more dimensions targets lie further out."""
    count = 600
    values, targets = uniform(3, count, n, d), 0.5 * uniform(4, count, d)
    subsets = ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1).astype(float)
    errors = np.array([np.abs(subsets @ row - w).max(axis=1).min() for row, w in zip(values, targets, strict=True)])
    rate = box_log_rate(values, targets)
    for level in (0.25, 0.5, 0.75):
        failed = int((errors > box_error_quantile(rate, d, level)).sum())
        assert agrees(failed, count, 1 - level, off=0.1)


def test_one_dimension_is_the_law() -> None:
    values, targets = uniform(5, 30, 11), uniform(6, 30)
    law, rate = normal(values, targets), box_log_rate(values[..., None], targets[:, None])
    np.testing.assert_allclose(rate, law.log_rate)
    np.testing.assert_allclose(box_failure(rate, 1, 1e-9), np.exp(-2e-9 * np.exp(law.log_rate)))
    np.testing.assert_allclose(box_error_quantile(rate, 1, 1e-6), error_quantile(law, 1e-6), rtol=1e-3)


def test_dimensions_are_invariant_and_cost_n_each() -> None:
    values, targets = uniform(7, 10, 16, 2), uniform(8, 10, 2)
    rate = box_log_rate(values, targets)
    np.testing.assert_allclose(box_log_rate(values[:, ::-1, ::-1], targets[:, ::-1]), rate)
    np.testing.assert_allclose(box_log_rate(3 * values, 3 * targets), rate - 2 * np.log(3))
    np.testing.assert_allclose(box_failure(rate, 2, box_error_quantile(rate, 2, 0.7)[0])[0], 0.3)


@pytest.mark.slow
def test_numbers_that_may_move() -> None:
    """Every subset with its own window; the law's own error, from reach, is allowed 30 %."""
    count, n = 3000, 7
    values = uniform(9, count, n)
    kept = np.array([bin(mask).count("1") for mask in range(1 << n)])
    failed = int((np.abs(sums_of(values) - 0.3) > 0.005 + 0.01 * kept).all(axis=1).sum())
    law = float(moving_failure(values, np.full(count, 0.3), 0.005, 0.01).mean())
    assert agrees(failed, count, law, off=0.3)


def test_numbers_that_do_not_move_are_the_law() -> None:
    values, targets = uniform(10, 30, 9), uniform(11, 30)
    still = moving_failure(values, targets, 1e-4, 0.0)
    np.testing.assert_allclose(still, quenched_failure(normal(values, targets), 1e-4), rtol=1e-4)
    assert (moving_failure(values, targets, 1e-4, 1e-4) <= still).all()
    scaled = moving_failure(7 * values, 7 * targets, 7e-4, 7e-4)
    np.testing.assert_allclose(scaled, moving_failure(values, targets, 1e-4, 1e-4), rtol=1e-9)


@pytest.mark.slow
def test_frozen_numbers() -> None:
    """Two locked in, three pruned, of 15; the law's own error is allowed 10 %."""
    count, target, epsilon = 3000, 0.3, 2e-3
    values = uniform(12, count, 15)
    errors = best_errors(values[:, :10], target - values[:, 10:12].sum(axis=1))
    law = float(frozen_failure(15, UNIFORM, target, epsilon, locked=2, pruned=3)[0])
    assert agrees(int((errors > epsilon).sum()), count, law, off=0.1)


def test_nothing_frozen_is_the_law() -> None:
    free = frozen_failure(12, UNIFORM, [0.3, 0.9], 1e-3, locked=0, pruned=0)
    np.testing.assert_allclose(free, failure(12, UNIFORM, [0.3, 0.9], 1e-3))
    pruned = frozen_failure(15, UNIFORM, [0.3, 0.9], 1e-3, locked=0, pruned=3)
    np.testing.assert_allclose(pruned, free)
    assert (frozen_failure(15, UNIFORM, [0.3, 0.9], 1e-3, locked=3, pruned=0) > free).all()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="free"):
        frozen_failure(4, UNIFORM, 0.1, 0.1, locked=2, pruned=2)
    with pytest.raises(ConfigError, match="low"):
        coverage(np.ones((1, 3)), 1.0, 0.0, 0.1)
    with pytest.raises(ConfigError, match="shape"):
        box_log_rate(np.ones((1, 3)), np.ones((1, 3)))
