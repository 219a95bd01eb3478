"""Random matrices with orthonormal columns."""

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.constant import Constant
from lth_runner.distributions.interface import Distribution, JointDistribution
from lth_runner.distributions.orthonormal import Orthonormal
from lth_runner.distributions.uniform import Uniform
from lth_runner.ticket.source import Drawn

LAW = Orthonormal()


def test_the_columns_are_orthonormal() -> None:
    for shape in ((7, 3), (4, 4), (20, 1)):
        drawn = Drawn(shape=shape, distribution=LAW.fitted(shape, None), stream=("block",)).draw(0)
        np.testing.assert_allclose(drawn.T @ drawn, np.eye(shape[1]), atol=1e-12)


def test_any_part_of_it_can_be_drawn_alone() -> None:
    source = Drawn(shape=(7, 3), distribution=LAW, stream=("block",), scale=2.0)
    whole = source.draw(5)
    np.testing.assert_array_equal(source.draw(5, 4, 9), whole.ravel()[4:13])
    assert not np.array_equal(source.draw(6), whole)


def test_its_law_does_not_change_under_rotations() -> None:
    """Mean and covariance of the entries over 4000 seeds: each within 5 standard deviations of 0, 1/n and 0."""
    rng = np.random.default_rng(0)
    drawn = np.stack([LAW.tensor(rng.random((5, 2))).ravel() for _ in range(4000)])
    assert np.abs(drawn.mean(0)).max() < 5 * np.sqrt(0.2 / 4000)
    covariance = drawn.T @ drawn / 4000
    assert np.abs(covariance - np.eye(10) / 5).max() < 5 * np.sqrt(3 / 35 / 4000)


def test_what_it_is_not_for() -> None:
    assert isinstance(LAW, Distribution) and isinstance(LAW, JointDistribution)
    assert not isinstance(Uniform(low=0.0, high=1.0), JointDistribution)
    for shape in ((3, 7), (5,), (5, 3, 2)):
        with pytest.raises(ConfigError, match="take method=block, or another distribution"):
            LAW.fitted(shape, None)
    with pytest.raises(ConfigError, match="take another"):
        LAW.quantile(np.array([0.5]))


def test_a_constant_is_one() -> None:
    np.testing.assert_array_equal(Constant(value=2.0).quantile(np.array([0.1, 0.9])), [2.0, 2.0])
    with pytest.raises(ConfigError, match="value must be a finite number"):
        Constant(value=float("nan"))
