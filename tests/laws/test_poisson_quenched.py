"""The law given the numbers, against enumeration and against what leaves sums as they are."""

from typing import Any

import numpy as np
import pytest
from poisson_samples import (
    SIGMAS,
    agrees,
    best_errors,
    chance_distance,
    farthest_from_uniform,
    sums_of,
    uniform,
)

from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.quenched import (
    LocalLaw,
    error_quantile,
    exact_hit,
    expected,
    failure,
    mean_error_quantile,
    mean_failure,
    normal,
    tilted,
)

COUNT = 1500
DENSITIES = [normal, tilted]


def instances(kind: str, n: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    values = {
        "uniform": lambda: uniform(n, count, n),
        "normal": lambda: np.random.default_rng(n).normal(size=(count, n)),
        "products": lambda: uniform(n, count, n) * np.abs(uniform(n + 1, count, n)),
    }[kind]()
    return values, uniform(n + 2, count)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "normal", "products"])
def test_errors_are_exponential_with_the_predicted_rate(kind: str) -> None:
    """exp(-expected) of the measured error is uniform: every quantile at once, each instance by its own rate."""
    values, targets = instances(kind, 14)
    law, errors = tilted(values, targets), best_errors(values, targets)
    certain = np.isclose(errors, law.known)  # out of reach, or nearest to a sum that is known: no Poisson point
    levels = np.exp(-expected(law, errors))[~certain]
    assert certain.mean() < 0.07
    assert farthest_from_uniform(levels) < chance_distance(levels.size)


@pytest.mark.parametrize("n", [8, 12])
def test_failures_include_those_out_of_reach(n: int) -> None:
    values, targets = instances("uniform", n)
    law, errors = tilted(values, targets), best_errors(values, targets)
    for epsilon in (0.05, 0.01):
        assert agrees(int((errors > epsilon).sum()), COUNT, float(mean_failure(law, epsilon)[0]))


@pytest.mark.slow
@pytest.mark.parametrize("density", DENSITIES)
def test_the_rate_is_the_number_of_sums_in_the_bulk(density: Any) -> None:
    """Sums in a window, over many instances: the mean of measured / expected is 1 up to chance and 2 % at n = 14."""
    values = uniform(3, 300, 14)
    targets = values.sum(axis=1) / 2 + uniform(4, 300)
    found = (np.abs(sums_of(values) - targets[:, None]) < 0.05).sum(axis=1)
    ratio = found / expected(density(values, targets), 0.05)
    assert ratio.mean() == pytest.approx(1, abs=0.02 + SIGMAS * ratio.std() / np.sqrt(ratio.size))


@pytest.mark.parametrize("at", [0.8, 0.9, 0.95])
def test_in_the_tail_only_the_tilted_rate_is_right(at: float) -> None:
    """Part of the way from the middle to the end of the reach: within 6 % and chance, and the normal rate is not."""
    values = uniform(5, 400, 14)
    high, middle = np.maximum(values, 0).sum(axis=1), values.sum(axis=1) / 2
    targets = middle + at * (high - middle)
    found = (np.abs(sums_of(values) - targets[:, None]) < 0.05).sum(axis=1)
    off = {density: expected(density(values, targets), 0.05) - found for density in DENSITIES}
    chance = {density: SIGMAS * excess.std() / np.sqrt(400) for density, excess in off.items()}
    assert abs(off[tilted].mean()) < 0.06 * found.mean() + chance[tilted]
    assert off[normal].mean() > chance[normal]


def test_a_window_beyond_the_straight_part_is_integrated() -> None:
    law = tilted(uniform(6, 5, 12), uniform(7, 5) + 1)
    grid = np.linspace(-0.2, 0.2, 20001)
    for b in range(5):
        rate = np.exp(law.log_rate[b] + law.slope[b] * grid)
        assert expected(law, 0.2)[b] == pytest.approx(np.trapezoid(rate, grid), rel=1e-6)


@pytest.mark.parametrize("density", DENSITIES)
def test_what_leaves_the_sums_as_they_are_leaves_the_law(density: Any) -> None:
    values, targets = uniform(8, 50, 10), uniform(9, 50)
    law = density(values, targets)
    shuffled = density(values[:, ::-1], targets)
    with_zeros = density(np.insert(values, 3, 0.0, axis=1), targets)
    flipped = density(values * np.where(np.arange(10) < 4, -1, 1), targets - values[:, :4].sum(axis=1))
    complement = density(values, values.sum(axis=1) - targets)
    for other in (shuffled, with_zeros, flipped, complement):
        np.testing.assert_allclose(other.log_rate, law.log_rate, rtol=1e-6)
    for other in (shuffled, with_zeros, complement):
        np.testing.assert_allclose(other.known, law.known, atol=1e-12)


@pytest.mark.parametrize("density", DENSITIES)
def test_errors_scale_with_numbers_and_targets(density: Any) -> None:
    values, targets = uniform(10, 50, 10), uniform(11, 50)
    law, scaled = density(values, targets), density(100 * values, 100 * targets)
    np.testing.assert_allclose(failure(scaled, 1.0), failure(law, 0.01), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(error_quantile(scaled, 0.9), 100 * error_quantile(law, 0.9), rtol=1e-6)


def test_both_densities_are_one_for_many_numbers() -> None:
    values = uniform(12, 20, 4000)
    targets = values.sum(axis=1) / 2 + uniform(13, 20)
    np.testing.assert_allclose(tilted(values, targets).log_rate, normal(values, targets).log_rate, rtol=1e-6)


def test_quantiles_invert_failures() -> None:
    values, targets = uniform(14, 200, 12), uniform(15, 200)
    for density in DENSITIES:
        law = density(values, targets)
        for level in (0.1, 0.5, 0.9):
            error = error_quantile(law, level)
            free = error < law.known
            np.testing.assert_allclose(failure(law, error)[free], 1 - level, rtol=1e-6)
            assert float(mean_failure(law, mean_error_quantile(law, level))[0]) == pytest.approx(1 - level, abs=0.01)


def test_the_known_sums_need_no_law() -> None:
    values = np.array([[0.5, 0.25, -1.0]])
    for target in (0.0, 0.75, -1.0, -0.25):
        assert failure(tilted(values, np.array([target + 1e-9])), 1e-6) == 0
    beyond = tilted(values, np.array([0.9]))
    assert beyond.log_rate == -np.inf
    assert failure(beyond, 0.1) == 1
    assert failure(beyond, 0.2) == 0
    assert error_quantile(beyond, 0.5) == pytest.approx(0.15)


def test_no_numbers_at_all() -> None:
    for density in DENSITIES:
        law = density(np.zeros((1, 4)), np.array([0.3]))
        assert failure(law, 0.2) == 1
        assert failure(law, 0.3) == 0


@pytest.mark.slow
def test_exact_hits_on_a_grid() -> None:
    """The law's own error here, from reach and repeated sums: within 15 % for these n."""
    rng = np.random.default_rng(16)
    values, targets = rng.integers(-63, 64, (4000, 9)).astype(float), rng.integers(-63, 64, 4000).astype(float)
    missed = int((best_errors(values, targets) > 0.5).sum())
    assert agrees(missed, 4000, float(exact_hit(tilted(values, targets), 1.0).mean()), off=0.15)
    finer = exact_hit(tilted(values / 4, targets / 4), 0.25)
    np.testing.assert_allclose(finer, exact_hit(tilted(values, targets), 1.0), rtol=1e-6)


def test_no_epsilon_fails_and_steep_windows_do_not_overflow() -> None:
    law = LocalLaw(np.array([-2000.0, 0.0]), np.array([5000.0, -3000.0]), np.array([9.0, 9.0]))
    assert expected(law, 0.5)[1] == np.inf
    assert expected(law, 0.2)[0] < np.inf
    assert (expected(law, 0.0) == 0).all()


def test_shapes_and_numbers_are_checked() -> None:
    with pytest.raises(ConfigError, match="own row"):
        tilted(np.ones(3), np.ones(3))
    with pytest.raises(ConfigError, match="finite"):
        normal(np.array([[np.nan]]), np.ones(1))
