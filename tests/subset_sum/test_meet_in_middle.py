"""The exact solver against brute force, against exhaustive search, and against the laws any exact solver obeys."""

import numpy as np
import pytest
from brute_force import GRID, REAL, assert_optimal, instances, optimum
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum import meet_in_middle
from lth_runner.subset_sum.exhaustive import Exhaustive
from lth_runner.subset_sum.interface import OBJECTIVES, Status, Subsets
from lth_runner.subset_sum.kernels import bitmap, few, halves, shared, sizes
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle, binomials
from lth_runner.subset_sum.threads import run

objectives = pytest.mark.parametrize("objective", OBJECTIVES)


def solve(values: np.ndarray, targets: np.ndarray, epsilon: float = 0.01, objective: str = "closest") -> Subsets:
    return MeetInMiddle().solve(np.atleast_2d(values), np.atleast_1d(targets), epsilon, objective)


def random_instances(count: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.464, 0.541, (count, n)), rng.normal(0, 0.3, count)


@objectives
@settings(max_examples=150, deadline=None)
@instances
def test_brute_force_agrees(row: list[float], target: float, epsilon: float, objective: str) -> None:
    answer = solve(np.array(row), np.array(target), epsilon, objective)
    assert_optimal(answer.error[0], answer.chosen.sum(), row, target, epsilon, objective)


@objectives
@pytest.mark.parametrize("n", [10, 13, 17, 18])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-4, 3e-6])
def test_exhaustive_search_agrees(n: int, epsilon: float, objective: str) -> None:
    values, targets = random_instances(12, n)
    targets[:2] = 99.0, -99.0
    expected = Exhaustive(max_n=18).solve(values, targets, epsilon, objective)
    answer = solve(values, targets, epsilon, objective)
    np.testing.assert_allclose(answer.error, expected.error, atol=1e-13)
    np.testing.assert_array_equal(answer.status, expected.status)
    if objective == "sparsest":
        np.testing.assert_array_equal(answer.chosen.sum(1), expected.chosen.sum(1))


@pytest.mark.parametrize("n", [6, 15, 21, 24])
def test_roads_to_the_closest_agree(n: int) -> None:
    values, targets = random_instances(60, n)
    values[0] = 0.125  # equal values: only the sorted halves can prove it
    targets[1] = values[1, values[1] > 0].sum() - 1e-3  # far out, where sums are rare
    chosen, other = np.zeros((2, 60, n), bool)
    proven = run(bitmap.solve, values, targets, np.arange(60), chosen)
    assert proven.mean() > (0.9 if n > 6 else -1), "the fast road must be the usual one"
    assert run(halves.solve, values, targets, np.arange(60), other).all()
    first, second = (np.abs((values * c).sum(1) - targets)[proven] for c in (chosen, other))
    np.testing.assert_allclose(first, second, atol=1e-13)
    assert not chosen[~proven].any()


def test_table_of_a_shared_row_agrees() -> None:
    values, targets = random_instances(50, 14)
    rows = np.arange(50)
    for table_values in (1, 9, 14):
        chosen = np.zeros((50, 14), bool)
        sums, masks = shared.sorted_table(values[0, :table_values])
        assert run(shared.solve, values[:1], targets, rows, chosen, sums, masks, table_values).all()
        errors = np.abs((values[0] * chosen).sum(1) - targets)
        np.testing.assert_allclose(
            errors, Exhaustive(max_n=14).solve(values[:1], targets, 0.1, "closest").error, atol=1e-13
        )


def test_table_is_used_where_it_pays() -> None:
    assert meet_in_middle.worthwhile_table(21, 10) == 0
    assert meet_in_middle.worthwhile_table(21, 100_000) > 15
    values, targets = random_instances(4000, 16)
    assert meet_in_middle.worthwhile_table(16, 4000) > 0
    answer = solve(values[:1], targets)
    np.testing.assert_allclose(answer.error, solve(np.tile(values[0], (4000, 1)), targets).error, atol=1e-13)


@pytest.mark.parametrize("first", [1, 3])
def test_sizes_continue_where_listing_stops(first: int) -> None:
    values, targets = random_instances(40, 12)
    rows = np.arange(40)
    listed, grouped = np.zeros((2, 40, 12), bool)
    found = run(few.solve, values, targets, rows, listed, 1e-3, 12, binomials(12))
    start = np.flatnonzero(listed.sum(1) >= first)
    assert run(sizes.solve, values, targets, start, grouped, 1e-3, first, binomials(12)).all()
    assert found.mean() > 0.5
    np.testing.assert_array_equal(grouped[start].sum(1), listed[start].sum(1))
    np.testing.assert_array_equal(grouped[start], listed[start])


def test_sizes_take_over_from_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meet_in_middle, "MAX_LISTED", 50)
    values, targets = random_instances(100, 10)
    answer = solve(values, targets, 1e-3, "sparsest")
    expected = Exhaustive(max_n=10).solve(values, targets, 1e-3, "sparsest")
    np.testing.assert_array_equal(answer.chosen, expected.chosen)


@settings(max_examples=100, deadline=None)
@given(row=st.lists(st.integers(1, 8).map(float), min_size=2, max_size=8), target=st.integers(1, 20).map(float))
def test_sizes_tell_equal_sums_of_different_size_apart(row: list[float], target: float) -> None:
    error, terms = optimum(row, target, 0.5, "sparsest")
    chosen = np.zeros((1, len(row)), bool)
    values, targets = np.array([row]), np.array([target])
    found = run(sizes.solve, values, targets, np.zeros(1, int), chosen, 0.5, 1, binomials(len(row)))
    assert found[0] == (error == 0)
    assert terms is None or (chosen.sum() == terms and values[chosen].sum() == target)


@objectives
@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 21), power=st.integers(-300, 300))
def test_laws_of_symmetry(data: st.DataObject, n: int, power: int, objective: str) -> None:
    """Permuting values, flipping all signs and scaling by a power of two change nothing but names and units."""
    row = np.array(data.draw(st.lists(GRID, min_size=n, max_size=n)))
    target, epsilon = data.draw(GRID), 1 / 128
    order = np.array(data.draw(st.permutations(range(n))))
    answer = solve(row, np.array(target), epsilon, objective)
    scale = 2.0**power
    for other, unit in (
        (solve(row[order], np.array(target), epsilon, objective), 1.0),
        (solve(-row, np.array(-target), epsilon, objective), 1.0),
        (solve(row * scale, np.array(target * scale), epsilon * scale, objective), scale),
    ):
        assert other.error[0] == answer.error[0] * unit
        assert other.status[0] == answer.status[0]
        if objective == "sparsest" and answer.status[0] == Status.WITHIN_EPSILON:
            assert other.chosen.sum() == answer.chosen.sum()


@settings(max_examples=60, deadline=None)
@given(row=st.lists(REAL, min_size=1, max_size=22), extra=REAL, target=REAL)
def test_another_value_never_hurts(row: list[float], extra: float, target: float) -> None:
    fewer = solve(np.array(row), np.array(target)).error[0]
    assert solve(np.array([*row, extra]), np.array(target)).error[0] <= fewer + 1e-14


@pytest.mark.parametrize("n", [5, 21, 27])
def test_limits_of_epsilon(n: int) -> None:
    values, targets = random_instances(30, n)
    everything = solve(values, targets, 1e6, "sparsest")
    assert not everything.chosen.any()
    closest = solve(values, targets)
    nothing = solve(values, targets, 1e-250, "sparsest")
    np.testing.assert_allclose(nothing.error, closest.error, atol=1e-14)
    assert (nothing.status == Status.BEYOND_EPSILON).all()
    looser = [solve(values, targets, epsilon, "sparsest").chosen.sum(1) for epsilon in (0.003, 0.03, 0.3)]
    assert n == 5 or ((looser[0] >= looser[1]) & (looser[1] >= looser[2])).all()


@pytest.mark.parametrize(("target", "terms"), [(0.25, 0), (1.25, 1), (4.75, 5)])
def test_an_error_of_exactly_epsilon_is_within(target: float, terms: int) -> None:
    values, targets = np.array([[1.0, 2.0, 0.75, 0.5, 0.25]]), np.array([target])
    answer = solve(values, targets, 0.25, "sparsest")
    assert (answer.error[0], answer.chosen.sum(), answer.status[0]) == (0.25, terms, Status.WITHIN_EPSILON)
    assert run(sizes.solve, values, targets, np.zeros(1, int), np.zeros((1, 5), bool), 0.25, 0, binomials(5)).all()


@pytest.mark.parametrize("n", [25, 33, 40])
def test_finds_a_planted_subset(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.integers(-(2**40), 2**40, (2, n)) / 2.0**40  # sums are exact, so the planted error is 0
    planted = rng.random((2, n)) < 0.5
    answer = solve(values, (values * planted).sum(1), 1e-9)
    assert (answer.error < 1e-9).all()
    assert (answer.error <= 2.0 ** (14 - n)).all()


@objectives
def test_mixed_magnitudes_keep_the_small_values(objective: str) -> None:
    values = np.array([1e300, 1e-300, -1e290, 5e-300, 3.0, 2.0**-1060, 0.0])
    answer = solve(values, np.array([1e-300, 6e-300, 3.0, 2.0**-1060]), 1e-320, objective)
    np.testing.assert_array_equal(answer.error, 0.0)


def test_number_of_threads_changes_nothing() -> None:
    import numba

    values, targets = random_instances(300, 20)
    before = numba.get_num_threads()
    answers = []
    for threads in {1, before}:
        numba.set_num_threads(threads)
        answers.append(solve(values, targets, 1e-4, "sparsest").chosen)
    numba.set_num_threads(before)
    np.testing.assert_array_equal(answers[0], answers[-1])


def test_refuses_more_values_than_memory_holds() -> None:
    with pytest.raises(ConfigError, match=r"n=41 .*at most 40.*n=40, or choose the solver milp"):
        solve(np.ones(41), np.array(1.0))


@objectives
@pytest.mark.parametrize("count", [1, 6])
def test_many_values_in_pairs_are_solved_as_without_the_knowledge(
    monkeypatch: pytest.MonkeyPatch, count: int, objective: str
) -> None:
    """13 pairs: beside the sorted halves of 26 values that know nothing of them."""
    rows, targets = random_instances(6, 13)
    pairs = np.stack((rows, -rows), axis=2).reshape(6, 26)[:count]
    assert meet_in_middle.in_pairs(pairs) and not meet_in_middle.in_pairs(rows)
    found = solve(pairs, targets, 1e-5, objective)
    monkeypatch.setattr(meet_in_middle, "in_pairs", lambda values: False)
    plain = solve(pairs, targets, 1e-5, objective)
    np.testing.assert_allclose(found.error, plain.error, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found.status, plain.status)
    if objective == "sparsest":
        np.testing.assert_array_equal(found.chosen.sum(1), plain.chosen.sum(1))
