"""The laws against simulation, limits and each other."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from lth_runner.laws.rate_distortion import (
    entropy_coded,
    entropy_coded_exact,
    entropy_coded_high_rate,
    lloyd_max_high_rate,
    lost_bits,
    random_codebook,
    shannon,
)
from lth_runner.networks.levels import LloydMax, nearest


def test_shannons_bound_is_a_quarter_per_bit() -> None:
    assert shannon(np.arange(4.0)).tolist() == [1.0, 0.25, 0.0625, 0.015625]
    np.testing.assert_allclose(lost_bits(shannon([0.5, 3.0]), [0.5, 3.0]), 0, atol=1e-12)


@pytest.mark.parametrize("step", [0.3, 1.0, 2.5])
def test_entropy_coded_rounding_is_what_draws_say(step: float) -> None:
    numbers = np.random.default_rng(0).normal(size=1_000_000)
    index = np.rint(numbers / step)
    share = np.unique(index, return_counts=True)[1] / numbers.size
    rate, error, means = entropy_coded(step)
    assert rate == pytest.approx(-np.sum(share * np.log2(share)), abs=0.005)
    assert error == pytest.approx(np.mean((index * step - numbers) ** 2), rel=0.01)
    cells = [numbers[index == k] for k in np.unique(index)]
    assert means == pytest.approx(sum(np.sum((cell - cell.mean()) ** 2) for cell in cells) / numbers.size, rel=0.01)


def test_at_a_high_rate_it_loses_a_quarter_of_a_bit_and_at_a_low_one_nothing() -> None:
    assert entropy_coded_exact(9.0) == pytest.approx(float(entropy_coded_high_rate(9.0)), rel=1e-5)
    rate, error, _ = entropy_coded(0.25)  # cells smooth the density, whose variance grows by that much
    assert float(lost_bits(error, rate)) == pytest.approx(np.log2(np.pi * np.e / 6 * (1 + error)) / 2, abs=1e-5)
    losses = [float(lost_bits(entropy_coded_exact(rate), rate)) for rate in (0.05, 0.3, 1.0, 2.0, 4.0)]
    assert losses == sorted(losses) and 0 < losses[0] < 0.03


@pytest.mark.parametrize(("bits", "off"), [(4, 0.10), (6, 0.03), (8, 0.01)])
def test_lloyd_and_max_come_near_their_law(bits: int, off: float) -> None:
    numbers = np.random.default_rng(1).normal(size=400_000)
    levels = LloydMax(bits=bits).values()
    error = np.mean((levels[nearest(levels, numbers)] - numbers) ** 2)
    assert (1 - off - 0.01) * lloyd_max_high_rate(bits) < error < 1.01 * lloyd_max_high_rate(bits)


@pytest.mark.parametrize(("block", "rate"), [(2, 6.0), (4, 4.0), (6, 3.0)])
def test_random_codebooks_are_as_good_as_their_law(block: int, rate: float) -> None:
    """The mean over a few codebooks; at fewer bits the law is above them."""
    errors = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        points = generator.normal(size=(round(2 ** (block * rate)), block)) * np.sqrt((block + 2) / block)
        weights = generator.normal(size=(20_000, block))
        errors.append(np.mean(KDTree(points).query(weights)[0] ** 2) / block)
    assert np.mean(errors) == pytest.approx(float(random_codebook(rate, block)), rel=0.06)


def test_the_random_codebook_of_two_bits_and_eight_weights_is_the_published_check() -> None:
    assert float(random_codebook(2.0, 8)) == pytest.approx(0.0956, abs=1e-4)
    assert float(random_codebook(4.0, 4)) == pytest.approx(0.00826, abs=5e-6)
    np.testing.assert_allclose(
        lost_bits(random_codebook(3.0, [1, 2, 4, 8, 16]), 3.0), [2.01, 1.0, 0.54, 0.31, 0.18], atol=0.007
    )


def test_long_blocks_of_random_points_reach_shannons_bound() -> None:
    losses = lost_bits(random_codebook(2.0, 10.0 ** np.arange(6)), 2.0)
    assert (np.diff(losses) < 0).all() and 0 < losses[-1] < 1e-3
