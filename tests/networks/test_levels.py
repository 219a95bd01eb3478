"""The levels of scalar codes are those that their definitions say."""

import numpy as np
import pytest
from scipy.stats import norm

from lth_runner.core.errors import ConfigError
from lth_runner.networks.levels import EvenLevels, Levels, LloydMax, NormalFloat, WholeLevels, cell_means, nearest

# Max 1960, table 1, whose last digits rounding has moved elsewhere too: mean squared errors for N(0, 1)
ERRORS = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497}
# bitsandbytes' table
NF4 = [
    -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0, 0.0795803, 0.1609302, 0.2461123,
    0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
]  # fmt: skip


def mean_error(levels: np.ndarray) -> float:
    """Of N(0, 1), rounded to the nearest level: the sum over cells of the integral of (x - level)^2."""
    edges = np.concatenate(([-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]))
    mass, density = np.diff(norm.cdf(edges)), norm.pdf(edges)
    first = density[:-1] - density[1:]
    inner = np.where(np.isfinite(edges), edges, 0.0) * density
    return float(np.sum(mass + inner[:-1] - inner[1:] - 2 * levels * first + levels**2 * mass))


@pytest.mark.parametrize("bits", range(1, 9))
def test_lloyd_max_levels_are_the_means_of_their_cells(bits: int) -> None:
    levels = LloydMax(bits=bits).values()
    assert levels.size == 2**bits and (np.diff(levels) > 0).all()
    np.testing.assert_allclose(levels, -levels[::-1], rtol=1e-12)
    positive = levels[levels.size // 2 :]
    np.testing.assert_allclose(positive, cell_means(positive), rtol=1e-9)
    assert mean_error(levels) == pytest.approx(1 - float(np.mean([levels_power(levels)])), abs=1e-9)
    if bits in ERRORS:
        assert mean_error(levels) == pytest.approx(ERRORS[bits], rel=5e-4)


def levels_power(levels: np.ndarray) -> float:
    """The mean square of what is rounded to means of cells; with the error it makes up the whole variance."""
    edges = np.concatenate(([-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]))
    return float(np.diff(norm.cdf(edges)) @ levels**2)


def test_no_other_levels_are_better() -> None:
    best, generator = LloydMax(bits=3).values(), np.random.default_rng(0)
    least = mean_error(best)
    for _ in range(50):
        assert mean_error(np.sort(best + generator.normal(scale=0.02, size=8))) > least


def test_four_bit_normal_floats_are_those_of_the_reference() -> None:
    np.testing.assert_allclose(NormalFloat(bits=4).values(), NF4, atol=5e-7)
    for bits in (2, 3, 8):
        levels = NormalFloat(bits=bits).values()
        assert levels.size == 2**bits and levels[0] == -1 and levels[-1] == 1 and np.count_nonzero(levels == 0) == 1
        assert (np.diff(levels) > 0).all()


def test_even_levels_have_a_zero_and_whole_ones_a_zero_point() -> None:
    assert EvenLevels(bits=2, step=0.5).values().tolist() == [-1.0, -0.5, 0.0, 0.5]
    assert WholeLevels(bits=2).values().tolist() == [0.0, 1.0, 2.0, 3.0] and WholeLevels(bits=2).has_zero_point


@pytest.mark.parametrize(
    "made", [LloydMax(bits=3), EvenLevels(bits=3, step=0.3), WholeLevels(bits=1), LloydMax(bits=1)]
)
def test_the_nearest_level_is_the_nearest(made: Levels) -> None:
    levels = made.values()
    numbers = np.random.default_rng(1).normal(size=(40, 25))
    np.testing.assert_array_equal(nearest(levels, numbers), np.abs(numbers[..., None] - levels).argmin(-1))


@pytest.mark.parametrize("bits", [0, 9, 2.0, True])
def test_impossible_widths_are_refused(bits: object) -> None:
    for make in (lambda: LloydMax(bits=bits), lambda: WholeLevels(bits=bits), lambda: NormalFloat(bits=bits)):  # pyright: ignore[reportArgumentType]
        with pytest.raises(ConfigError, match=r"levels\.bits"):
            make()
