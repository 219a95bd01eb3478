"""Laws of the streams: equal names give equal bits, blocks agree with the whole, different names are independent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_runner.core.streams import Streams

PATH = ("coefficients", "fc1")


@given(start=st.integers(0, 5000), count=st.integers(0, 300), seed=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_any_block_equals_its_part_of_the_whole(start: int, count: int, seed: int) -> None:
    whole = Streams(seed).uniform(PATH, 0, start + count)
    np.testing.assert_array_equal(Streams(seed).uniform(PATH, start, count), whole[start:])


def test_a_far_block_costs_no_more_than_itself_and_is_reproducible() -> None:
    far = 2**60
    np.testing.assert_array_equal(Streams(1).uniform(PATH, far, 8)[3:], Streams(1).uniform(PATH, far + 3, 5))


def test_the_bits_are_pinned() -> None:
    """A change of these numbers would silently change every ticket that was ever written."""
    expected = [0.640931818905922, 0.6647374409613903, 0.817345524876082]
    np.testing.assert_array_equal(Streams(0).uniform(PATH, 0, 3), expected)


@given(start=st.integers(0, 100), seed=st.integers(0, 2**63))
@settings(max_examples=20, deadline=None)
def test_each_number_is_the_formula_of_its_raw_word(start: int, seed: int) -> None:
    words = Streams(seed)(*PATH).bit_generator.random_raw(start + 1000)[start:]
    np.testing.assert_array_equal(
        Streams(seed).uniform(PATH, start, 1000), ((words >> np.uint64(12)) + 0.5) * 2.0**-52, strict=True
    )


def test_the_formula_holds_for_the_extreme_words(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([0, 2**12 - 1, 2**12, 2**63, 2**64 - 1], np.uint64)

    class Extreme:
        def advance(self, skipped: int) -> None:
            assert skipped == 0

        def random_raw(self, count: int) -> np.ndarray:
            return words[:count].copy()

    monkeypatch.setattr(np.random, "Philox", lambda _: Extreme())
    expected = ((words >> np.uint64(12)) + 0.5) * 2.0**-52
    np.testing.assert_array_equal(Streams(0).uniform(PATH, 0, words.size), expected, strict=True)


@pytest.mark.parametrize(
    "other", [(1, PATH), (0, ("coefficients", "fc2")), (0, ("coefficients",)), (0, ("coefficientsfc1",))]
)
def test_other_seeds_and_names_give_other_numbers(other: tuple[int, tuple[str, ...]]) -> None:
    seed, path = other
    first, second = Streams(0).uniform(PATH, 0, 4000), Streams(seed).uniform(path, 0, 4000)
    # Independent uniforms correlate by N(0, 1/4000): beyond 5 sigma with probability 6e-7.
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(4000)


def test_uniform_never_reaches_its_ends_and_covers_between() -> None:
    numbers = Streams(5).uniform(PATH, 0, 100_000)
    assert 0 < numbers.min() < 1e-3  # fails by chance with probability e^-100
    assert 1 - 1e-3 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 6 * np.sqrt(1 / 12 / numbers.size)  # 6 sigma: 2e-9


def test_generators_start_afresh() -> None:
    streams = Streams(7)
    first = streams("mask").permutation(50)
    streams("other").random(10)
    np.testing.assert_array_equal(first, streams("mask").permutation(50))


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        Streams(-1)
