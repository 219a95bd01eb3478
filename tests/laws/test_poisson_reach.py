"""The reach floor, against drawn numbers, by hand, and as n grows."""

import numpy as np
import pytest
from poisson_samples import agrees, uniform

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.normal import Normal
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.closed_forms import OutOfReach
from lth_runner.laws.poisson.numbers import equally_likely, products
from lth_runner.laws.poisson.reach import floor, growth, quenched_floor, uniform_floor

DRAWS = 100_000
UNIFORM = equally_likely(Uniform(low=-1.0, high=1.0))


@pytest.mark.parametrize("n", [1, 4, 10])
@pytest.mark.parametrize("z", [1.0, 0.3])
def test_the_floor_of_uniform_numbers(n: int, z: float) -> None:
    out = quenched_floor(uniform(n, DRAWS, n), np.full(DRAWS, z))
    assert agrees(int(out.sum()), DRAWS, float(uniform_floor(n, z)))
    assert floor(UNIFORM, n, z) == pytest.approx(float(uniform_floor(n, z)), rel=2e-3)


def test_by_hand() -> None:
    assert uniform_floor(3, 0.0) == pytest.approx(1 / 8)  # no number is positive
    assert uniform_floor(1, 0.4) == pytest.approx((1 + 0.4) / 2)
    np.testing.assert_allclose(uniform_floor([12, 14, 16], 0.99), [0.0264, 0.0109, 0.0044], atol=5e-5)
    assert floor(np.array([-1.0, 1.0]), 5, 0.5) == pytest.approx(1 / 32)


def test_averaged_over_targets_it_is_the_closed_form() -> None:
    epsilon, levels = 0.01, (np.arange(4000) + 0.5) / 4000
    below = uniform_floor(9, np.maximum(levels - epsilon, 0)) * (levels > epsilon)
    assert below.mean() == pytest.approx(float(OutOfReach(label="").failure(9, epsilon)), rel=1e-3)


def test_as_n_grows_one_bit_per_number_and_a_root() -> None:
    for n, off in ((50, 0.05), (1000, 0.01)):
        assert growth(n, 0.5) == pytest.approx(float(uniform_floor(n, 0.5)), rel=off)
    assert uniform_floor(400, 1.0) / uniform_floor(399, 1.0) == pytest.approx(0.5 * np.exp(1 / 20), rel=0.01)


@pytest.mark.parametrize("n", [3, 8])
def test_the_floor_of_other_numbers(n: int) -> None:
    rng = np.random.default_rng(n)
    drawn = rng.uniform(0, 1, (DRAWS, n)) * rng.uniform(-1, 1, (DRAWS, n))
    numbers = products(*(equally_likely(Uniform(low=low, high=1.0), 1 << 9) for low in (0.0, -1.0)))
    assert agrees(int(quenched_floor(drawn, np.full(DRAWS, 0.5)).sum()), DRAWS, floor(numbers, n, 0.5))
    normal = rng.normal(size=(DRAWS, n))
    assert agrees(
        int(quenched_floor(normal, np.full(DRAWS, 0.5)).sum()), DRAWS, floor(equally_likely(Normal(std=1.0)), n, 0.5)
    )


def test_signs_and_windows() -> None:
    values = np.array([[0.5, -0.25], [0.5, -0.25], [0.5, -0.25]])
    np.testing.assert_array_equal(quenched_floor(values, np.array([0.6, -0.2, 0.0])), [True, False, False])
    assert not quenched_floor(values, np.full(3, 0.6), 0.11).any()


def test_targets_beyond_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="z must lie"):
        uniform_floor(3, 1.5)
