"""Distances of masks by hand, and when they agree."""

import numpy as np
import pytest

from lth_runner.prune.mask_distance import distances, emergence


def masks(*rows: str) -> np.ndarray:
    return np.array([[sign == "1" for sign in row] for row in rows])


def test_distances_by_hand() -> None:
    found = distances(masks("1100", "1010", "0011"))
    np.testing.assert_array_equal(found, [[0, 0.5, 1], [0.5, 0, 0.5], [1, 0.5, 0]])


def test_distances_are_the_share_of_units_that_differ() -> None:
    many = np.random.default_rng(0).random((6, 37)) < 0.4
    wanted = [[np.mean(one != other) for other in many] for one in many]
    np.testing.assert_allclose(distances(many), wanted, atol=1e-15)


@pytest.mark.parametrize(
    ("rows", "window", "most", "at"),
    [
        (["11110", "11101", "11101", "11101"], 3, 0.0, 3),
        (["11110", "11101", "11101", "11101"], 3, 0.4, 2),
        (["11110", "11101", "11101", "11101"], 2, 0.0, 2),
        (["11110", "11101"], 3, 1.0, None),
        (["10", "01", "10", "01"], 2, 0.5, None),
        (["10", "01", "10"], 3, 0.5, None),  # the first and the last are equal, the second is not
    ],
)
def test_masks_emerge_when_the_latest_is_near_to_all_in_the_window(
    rows: list[str], window: int, most: float, at: int | None
) -> None:
    assert emergence(masks(*rows), window, most) == at
