"""Golden-ratio digits: the proven bound wherever every digit has a value, and honest errors where one lacks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_runner.subset_sum.golden_ratio import GAMMA, golden_ratio
from lth_runner.subset_sum.interface import Status

EPSILON = 1e-3
DIGITS = int(np.ceil(np.log(EPSILON) / np.log(GAMMA))) + 1


@given(
    target=st.floats(-1, 1),
    places=st.lists(st.floats(0.01, 0.99), min_size=2 * DIGITS, max_size=2 * DIGITS),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_one_value_anywhere_in_each_digit_is_enough(target: float, places: list[float], order: object) -> None:
    sizes = [GAMMA ** (k % DIGITS + place) for k, place in enumerate(places)]
    values = np.array([size if k < DIGITS else -size for k, size in enumerate(sizes)])
    order.shuffle(values)  # pyright: ignore[reportAttributeAccessIssue]
    answer = golden_ratio(values[None], np.array([target]), EPSILON)
    assert answer.status[0] == Status.WITHIN_EPSILON
    kept = values[answer.chosen[0]]
    assert kept.size <= DIGITS and (np.sign(kept) == np.sign(target)).all()


def test_missing_digits_are_an_error_not_a_lie() -> None:
    answer = golden_ratio(np.array([[0.9, -0.9, 1e-4]]), np.array([0.5, 0.0, 0.9, -2.0]), EPSILON)
    np.testing.assert_allclose(answer.error, [0.5, 0, 0, 1.1], atol=1e-15)
    assert list(answer.status == Status.WITHIN_EPSILON) == [False, True, True, False]


def test_blocks_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    values, targets = rng.uniform(-1, 1, (9000, 12)), rng.uniform(-1, 1, 9000)
    whole = golden_ratio(values, targets, 0.01)
    part = golden_ratio(values[5000:], targets[5000:], 0.01)
    np.testing.assert_array_equal(whole.chosen[5000:], part.chosen)
