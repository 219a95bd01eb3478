"""Laws by their quantiles."""

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.grid import Grid
from lth_runner.distributions.hyperbolic import Hyperbolic

LEVELS = (np.arange(100_000) + 0.5) / 100_000


def test_hyperbolic_weights_fill_every_relative_interval_alike() -> None:
    weights = Hyperbolic(low=0.01, high=1.0).quantile(LEVELS)
    assert (weights < 0).mean() == 0.5 and np.abs(weights).min() >= 0.01 and np.abs(weights).max() <= 1
    counts, _ = np.histogram(np.log10(np.abs(weights)), bins=np.linspace(-2, 0, 9))
    np.testing.assert_allclose(counts / LEVELS.size, 1 / 8, atol=1e-4)
    assert (np.diff(weights) > 0).all()  # a quantile function rises


def test_a_grid_has_its_levels_equally_often() -> None:
    weights, counts = np.unique(Grid(largest=2, step=0.5).quantile(LEVELS), return_counts=True)
    np.testing.assert_array_equal(weights, [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(counts, LEVELS.size // 5)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="low must be above 0"):
        Hyperbolic(low=0.0, high=1.0)
    with pytest.raises(ConfigError, match="low must be below high"):
        Hyperbolic(low=1.0, high=0.5)
    with pytest.raises(ConfigError, match="largest must be at least 1"):
        Grid(largest=0, step=1.0)
    with pytest.raises(ConfigError, match="step must be above 0"):
        Grid(largest=1, step=0.0)
