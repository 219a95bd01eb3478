"""One mask for several targets, against looking at every subset."""

import numpy as np
import pytest
from poisson_samples import best_errors, uniform

from lth_runner.core.errors import ConfigError
from lth_runner.laws.boxes import all_vector_sums, closest_vector


@pytest.mark.parametrize(("d", "n"), [(1, 7), (2, 1), (2, 10), (3, 9), (5, 8)])
def test_nothing_is_closer(d: int, n: int) -> None:
    values, targets = uniform(n, 12, n, d), uniform(d, 12, d)
    error, chosen = closest_vector(values, targets)
    subsets = ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1).astype(float)
    best = [np.abs(subsets @ row - w).max(axis=1).min() for row, w in zip(values, targets, strict=True)]
    np.testing.assert_allclose(error, best, atol=1e-14)
    sums = np.array([row[kept].sum(axis=0) for row, kept in zip(values, chosen, strict=True)])
    np.testing.assert_allclose(np.abs(sums - targets).max(axis=1), best, atol=1e-14)


def test_one_dimension_is_a_subset_sum() -> None:
    values, targets = uniform(1, 20, 11), uniform(2, 20)
    error, _ = closest_vector(values[..., None], targets[:, None])
    np.testing.assert_allclose(error, best_errors(values, targets), atol=1e-14)


def test_all_sums_in_the_order_of_their_masks() -> None:
    row = uniform(3, 4, 2)
    sums = all_vector_sums(row)
    np.testing.assert_allclose(sums[0b1010], row[1] + row[3])
    assert sums.shape == (16, 2)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="shape"):
        closest_vector(np.zeros((2, 4, 3)), np.zeros((2, 2)))
    with pytest.raises(ConfigError, match="at most 40"):
        closest_vector(np.zeros((1, 41, 1)), np.zeros((1, 1)))
