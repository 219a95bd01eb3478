"""The one best value or none, against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.interface import Status
from lth_runner.subset_sum.single_best import single_best

GRID = st.integers(-16, 16).map(lambda k: k / 16)


@settings(max_examples=100, deadline=None)
@given(row=st.lists(GRID, min_size=1, max_size=6), targets=st.lists(GRID, min_size=1, max_size=4))
def test_definition(row: list[float], targets: list[float]) -> None:
    answer = single_best(np.array([row]), np.array(targets), 0.25)
    for chosen, error, status, target in zip(answer.chosen, answer.error, answer.status, targets, strict=True):
        assert chosen.sum() <= 1
        assert error == min(abs(target), *(abs(value - target) for value in row))
        assert status == (Status.WITHIN_EPSILON if error <= 0.25 else Status.BEYOND_EPSILON)
        assert not chosen.any() or error < abs(target), "none is preferred"


def test_blocks_join_up() -> None:
    rng = np.random.default_rng(0)
    values, targets = rng.normal(size=(10_000, 3)), rng.normal(size=10_000)
    answer = single_best(values, targets, 0.1)
    expected = np.minimum(np.abs(targets), np.abs(values - targets[:, None]).min(1))
    np.testing.assert_array_equal(answer.error, expected)


def test_refuses_infinity() -> None:
    with pytest.raises(ConfigError, match="values must be finite"):
        single_best(np.array([[np.inf]]), np.zeros(1), 0.1)
