"""The formulas against hand calculation and against random draws."""

from typing import Any

import numpy as np
import pytest

from lth_runner.laws.closed_forms import ClosedForm, OneBestDirect, OneBestProduct, OutOfReach, smallest_n
from lth_runner.laws.statistics import binomial_interval

DRAWS = 200_000
SURE = 1 - 1e-9  # each comparison with random draws fails with at most this little probability, and seeds are fixed


def agree(share: Any, probability: Any) -> bool:
    low, high = binomial_interval(round(share * DRAWS), DRAWS, SURE)
    return bool(low <= probability <= high)


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (DRAWS, *shape))


@pytest.mark.parametrize("n", [1, 4, 20])
@pytest.mark.parametrize("epsilon", [0.3, 0.05])
def test_one_best_number(n: int, epsilon: float) -> None:
    w = weights(n)
    failed = (np.abs(w) > epsilon) & (np.abs(weights(n + 100, n) - w[:, None]) > epsilon).all(axis=1)
    assert agree(failed.mean(), OneBestDirect(label="").failure(n, epsilon))


@pytest.mark.parametrize("n", [1, 4, 20])
@pytest.mark.parametrize("epsilon", [0.3, 0.05])
def test_one_best_product(n: int, epsilon: float) -> None:
    w, a, b = weights(n), weights(n + 100, n), weights(n + 200, n)
    failed = (np.abs(w) > epsilon) & ((a <= 0) | (np.abs(a * b - w[:, None]) > epsilon)).all(axis=1)
    assert agree(failed.mean(), OneBestProduct(label="").failure(n, epsilon))


@pytest.mark.parametrize("n", [1, 4, 10])
@pytest.mark.parametrize("epsilon", [0.3, 0.05])
def test_out_of_reach(n: int, epsilon: float) -> None:
    w, values = weights(n), weights(n + 100, n)
    reach = np.maximum(values * np.sign(w)[:, None], 0).sum(axis=1)
    assert agree((reach < np.abs(w) - epsilon).mean(), OutOfReach(label="").failure(n, epsilon))


def test_no_number_at_all_leaves_all_but_the_smallest_weights_unserved() -> None:
    for form in (OneBestDirect(label=""), OneBestProduct(label=""), OutOfReach(label="")):
        assert form.failure(0, 0.1) == pytest.approx(0.9)


def test_one_number_by_hand() -> None:
    """Half of the numbers have the wrong sign; the others stay below x <= 1 with probability x."""
    assert OutOfReach(label="").failure(1, 0.2) == pytest.approx((0.8 + 0.32) / 2)


@pytest.mark.parametrize("form", [OneBestDirect(label=""), OneBestProduct(label=""), OutOfReach(label="")])
def test_the_smallest_n_is_the_smallest(form: ClosedForm) -> None:
    n = smallest_n(form, 0.01, 0.95)
    assert form.failure(n, 0.01) <= 0.05 < form.failure(n - 1, 0.01)
    np.testing.assert_allclose(form.failure(np.array([n, n - 1]), 0.01), [form.failure(m, 0.01) for m in (n, n - 1)])


def test_one_number_needs_about_ln_20_over_epsilon() -> None:
    """(1 - epsilon)^n = 1/20, up to the edges of the interval, which vanish with epsilon."""
    assert smallest_n(OneBestDirect(label=""), 1e-6, 0.95) == pytest.approx(np.log(20) / 1e-6, rel=1e-5)
