"""Sums of exactly k numbers, against looking at every subset."""

from itertools import combinations

import numpy as np
import pytest
from poisson_samples import uniform

from lth_runner.core.errors import ConfigError
from lth_runner.laws.of_size import closest_of_size, worst_of_size


def sums_of_size(row: np.ndarray, size: int) -> np.ndarray:
    return np.array([row[list(places)].sum() for places in combinations(range(row.size), size)])


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_the_closest_sum_of_every_size(n: int) -> None:
    values, targets = uniform(n, 6, n), 2 * uniform(n + 1, 6)
    for size in range(1, n + 1):
        error, kept = closest_of_size(values, targets, size)
        best = [np.abs(sums_of_size(row, size) - w).min() for row, w in zip(values, targets, strict=True)]
        np.testing.assert_allclose(error, best, atol=1e-14)
        assert all(len(set(places)) == size for places in kept.tolist())
        assert kept.min() >= 0 and kept.max() < n


def test_one_of_many_is_the_nearest() -> None:
    values, targets = uniform(1, 3, 5000), uniform(2, 3)
    error, kept = closest_of_size(values, targets, 1)
    np.testing.assert_array_equal(kept[:, 0], np.abs(values - targets[:, None]).argmin(axis=1))
    np.testing.assert_allclose(error, np.abs(values - targets[:, None]).min(axis=1))


@pytest.mark.parametrize("size", [1, 3, 4])
def test_the_worst_target_is_that_of_a_fine_grid(size: int) -> None:
    values, grid = uniform(3, 5, 8), np.linspace(-1.5, 1.5, 30_001)
    for worst, row in zip(worst_of_size(values, size, 1.5), values, strict=True):
        sums = np.sort(sums_of_size(row, size))
        at = np.searchsorted(sums, grid)
        nearest = np.minimum(
            np.abs(sums[np.maximum(at - 1, 0)] - grid), np.abs(sums[np.minimum(at, sums.size - 1)] - grid)
        )
        assert nearest.max() - 1e-12 <= worst <= nearest.max() + 1e-4


def test_too_many_sums_are_refused() -> None:
    with pytest.raises(ConfigError, match="too many"):
        closest_of_size(np.zeros((1, 80)), np.zeros(1), 20)
    with pytest.raises(ConfigError, match="size"):
        closest_of_size(np.zeros((1, 3)), np.zeros(1), 4)
