"""SubsetSum by definition: every combination, summed exactly. Shares nothing with the solvers."""

from itertools import combinations
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

GRID = st.integers(-64, 64).map(lambda k: k / 64)  # sums are exact: equal means equal
REAL = st.floats(-2, 2, allow_subnormal=False)
instances = given(
    row=st.lists(GRID, min_size=1, max_size=9) | st.lists(REAL, min_size=1, max_size=9),
    target=GRID,
    epsilon=st.sampled_from([2**-9, 1 / 32, 33 / 128]),
)


def errors_by_size(values: list[float], target: float) -> list[float]:
    """The smallest error of any subset with exactly k values, for k = 0 to n."""
    return [
        min(abs(fsum([*subset, -target])) for subset in combinations(values, terms)) for terms in range(len(values) + 1)
    ]


def optimum(values: list[float], target: float, epsilon: float, objective: str) -> tuple[float, int | None]:
    """The error of the answer and, for a sparsest subset within epsilon, its number of values."""
    errors = errors_by_size(values, target)
    within = [terms for terms, error in enumerate(errors) if error <= epsilon]
    if objective == "sparsest" and within:
        return errors[within[0]], within[0]
    return min(errors), None


def assert_optimal(
    error: float, terms: int, values: list[float], target: float, epsilon: float, objective: str
) -> None:
    """That an answer has the optimum's error, up to rounding, and its number of values where that counts."""
    best, fewest = optimum(values, target, epsilon, objective)
    assert error == pytest.approx(best, abs=1e-13)
    assert fewest is None or terms == fewest
