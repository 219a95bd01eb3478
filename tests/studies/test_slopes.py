"""Slopes of exact laws, and how often their intervals hold."""

import numpy as np
import pytest

from lth_runner.studies.slopes import exponential, power

X = [10.0, 20.0, 40.0, 80.0]


def test_a_power_law_has_its_power() -> None:
    found = power(X, [[3 / x**2 for x in X], [7 / x**2 for x in X]], 0.95)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((-2, -2, -2))
    assert found.straight == pytest.approx(1)
    assert exponential(X, [[3 / x**2 for x in X]], 0.95).straight < 0.95  # type: ignore[union-attr]


def test_an_exponential_has_its_rate() -> None:
    found = exponential(X, [[5 * np.exp(-0.1 * x) for x in X]], 0.95)
    assert found is not None and found.value == pytest.approx(-0.1)
    assert (found.low, found.high) == (None, None), "one seed tells no interval"


def test_the_interval_is_students() -> None:
    """Slopes -1, -2 and -3: mean -2, standard error 1 / sqrt(3), and 4.303 of them for 95 % of two degrees."""
    found = power(X, [[x**k for x in X] for k in (-1, -2, -3)], 0.95)
    assert found is not None and found.high is not None
    assert found.high - found.value == pytest.approx(4.30265 / 3**0.5, rel=1e-5)


def test_the_interval_holds_the_true_power_as_often_as_it_says() -> None:
    """Of 400 sets of 5 noisy curves, 95 %: 366 or more but with probability 0.001 by the binomial law."""
    chance, held = np.random.default_rng(0), 0
    for _ in range(400):
        slopes = -1 + 0.2 * chance.normal(size=5)  # noise along a curve is not independent: whole curves are tilted
        found = power(X, [[x**k for x in X] for k in slopes], 0.95)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= -1 <= found.high
    assert held >= 366


@pytest.mark.parametrize("curves", [[], [[1.0, 0.0, 1.0, 1.0]]])
def test_nothing_is_fitted_where_there_is_no_logarithm(curves: list[list[float]]) -> None:
    assert power(X, curves, 0.95) is None
