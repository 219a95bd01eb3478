"""The second closest subset, against all of them."""

import itertools
from math import fsum

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.exhaustive import Exhaustive
from lth_runner.subset_sum.interface import Status, SubsetSumSolver
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.subset_sum.second_closest import SecondClosest

SOLVERS = [MeetInMiddle(), Exhaustive(max_n=10)]
EPSILON = 0.05


def errors(values: np.ndarray, target: float) -> list[float]:
    """Of all 2^n subsets, ascending."""
    every = itertools.product((False, True), repeat=len(values))
    return sorted(abs(fsum([*values[list(chosen)].tolist(), -target])) for chosen in every)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_it_is_the_second_of_all_subsets(solver: SubsetSumSolver, n: int) -> None:
    rng = np.random.default_rng(n)
    values, targets = rng.uniform(-1, 1, (40, n)), rng.normal(0, 0.4, 40)
    targets[:2] = 9.0, 0.0
    first, second = (each.solve(values, targets, EPSILON, "closest") for each in (solver, SecondClosest(solver=solver)))
    assert (first.chosen != second.chosen).any(axis=1).all(), "another subset"
    ranked = [errors(row, target) for row, target in zip(values, targets, strict=True)]
    np.testing.assert_allclose(first.error, [each[0] for each in ranked], rtol=0, atol=1e-12)
    np.testing.assert_allclose(second.error, [each[1] for each in ranked], rtol=0, atol=1e-12)
    assert (second.status == np.where(second.error <= EPSILON, Status.WITHIN_EPSILON, Status.BEYOND_EPSILON)).all()


def test_one_row_of_values_serves_all_targets() -> None:
    rng = np.random.default_rng(0)
    values, targets = rng.uniform(-1, 1, (1, 6)), rng.normal(0, 0.4, 30)
    solver = SecondClosest(solver=MeetInMiddle())
    shared = solver.solve(values, targets, EPSILON, "closest")
    own = solver.solve(np.repeat(values, 30, axis=0), targets, EPSILON, "closest")
    np.testing.assert_allclose(shared.error, own.error, rtol=0, atol=1e-12)


def test_beside_a_sparsest_answer_it_is_the_closest_of_all_others() -> None:
    """The closest of all, unless that is the sparsest one already."""
    rng = np.random.default_rng(1)
    values, targets = rng.uniform(-1, 1, (40, 6)), rng.normal(0, 0.4, 40)
    solver = MeetInMiddle()
    sparsest, other = (each.solve(values, targets, 0.2, "sparsest") for each in (solver, SecondClosest(solver=solver)))
    closest = solver.solve(values, targets, 0.2, "closest")
    same = (sparsest.chosen == closest.chosen).all(axis=1)
    assert 0 < same.sum() < 40
    np.testing.assert_array_equal(other.chosen[~same], closest.chosen[~same])
    ranked = [errors(row, target)[1] for row, target in zip(values[same], targets[same], strict=True)]
    np.testing.assert_allclose(other.error[same], ranked, rtol=0, atol=1e-12)


def test_what_is_no_instance_is_refused() -> None:
    with pytest.raises(ConfigError, match="finite"):
        SecondClosest(solver=MeetInMiddle()).solve(np.full((1, 3), np.nan), np.zeros(1), EPSILON, "closest")
