"""The solver of tensors against the compiled one and exhaustive search; on the CPU, and on a GPU where there is one."""

import numpy as np
import pytest
import torch
from brute_force import assert_optimal, instances
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_runner.config.compose import composed
from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum import gpu
from lth_runner.subset_sum.exhaustive import Exhaustive
from lth_runner.subset_sum.gpu import Gpu
from lth_runner.subset_sum.interface import OBJECTIVES, Status, Subsets
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

objectives = pytest.mark.parametrize("objective", OBJECTIVES)
shared_or_not = pytest.mark.parametrize("shared", [False, True], ids=["own rows", "one row"])


def solve(values: np.ndarray, targets: np.ndarray, epsilon: float = 0.01, objective: str = "closest") -> Subsets:
    return Gpu(device="cpu").solve(np.atleast_2d(values), np.atleast_1d(targets), epsilon, objective)


def random_instances(count: int, n: int, shared: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.uniform(-0.464, 0.541, (1 if shared else count, n)), rng.normal(0, 0.3, count)


def assert_equal(answer: Subsets, expected: Subsets) -> None:
    np.testing.assert_array_equal(answer.chosen, expected.chosen)
    np.testing.assert_array_equal(answer.error, expected.error)
    np.testing.assert_array_equal(answer.status, expected.status)


@objectives
@shared_or_not
@pytest.mark.parametrize(("n", "count"), [(1, 100), (2, 500), (7, 3000), (12, 2000), (17, 200), (21, 60)])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-5])
def test_random_instances_have_the_very_subsets_of_meet_in_the_middle(
    n: int, count: int, shared: bool, objective: str, epsilon: float
) -> None:
    values, targets = random_instances(count, n, shared)
    targets[:2] = 99.0, -99.0
    expected = MeetInMiddle().solve(values, targets, epsilon, objective)
    assert_equal(solve(values, targets, epsilon, objective), expected)


@objectives
@settings(max_examples=150, deadline=None)
@instances
def test_brute_force_agrees(row: list[float], target: float, epsilon: float, objective: str) -> None:
    answer = solve(np.array(row), np.array(target), epsilon, objective)
    assert_optimal(answer.error[0], answer.chosen.sum(), row, target, epsilon, objective)


@objectives
@shared_or_not
def test_with_many_ties_errors_are_still_equal(objective: str, shared: bool) -> None:
    rng = np.random.default_rng(0)
    values, targets = rng.integers(-8, 9, (1 if shared else 2000, 11)) / 8, rng.integers(-99, 99, 2000) / 32
    expected = Exhaustive(max_n=11).solve(values, targets, 1 / 16, objective)
    answer = solve(values, targets, 1 / 16, objective)
    np.testing.assert_array_equal(answer.error, expected.error)
    np.testing.assert_array_equal(answer.status, expected.status)
    sparse = expected.status == Status.WITHIN_EPSILON if objective == "sparsest" else np.zeros(2000, bool)
    np.testing.assert_array_equal(answer.chosen.sum(1)[sparse], expected.chosen.sum(1)[sparse])


def test_of_equally_near_subsets_the_one_that_the_text_names() -> None:
    halves = solve(np.array([1.0, 1.0, 1.0, 1.0]), np.array(2.0))  # the later half's smallest mask that can do it
    np.testing.assert_array_equal(halves.chosen, [[True, True, False, False]])
    between = solve(np.array([1.0, 3.0, 99.0, 99.0]), np.array(2.0))  # 1 and 3 are as near: the smaller sum
    np.testing.assert_array_equal(between.chosen, [[True, False, False, False]])


@objectives
@shared_or_not
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, objective: str, shared: bool) -> None:
    rng = np.random.default_rng(0)
    values, targets = rng.integers(-8, 9, (1 if shared else 100, 11)) / 8, rng.integers(-99, 99, 100) / 32
    whole = solve(values, targets, 1 / 16, objective)
    monkeypatch.setattr(gpu, "CPU_BYTES", 7 * gpu.bytes_of_instance(11, gpu.table_values(11, 1), False))
    assert_equal(solve(values, targets, 1 / 16, objective), whole)
    monkeypatch.setattr(gpu, "CPU_BYTES", 1)
    assert_equal(solve(values, targets, 1 / 16, objective), whole)


def test_batches_cover_all_instances_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "CPU_BYTES", 1000)
    rows = list(gpu.batches(25, 100, torch.device("cpu")))
    assert [(part.start, part.stop) for part in rows] == [(0, 10), (10, 20), (20, 25)]


@settings(max_examples=60, deadline=None)
@given(row=st.lists(st.integers(-3, 3).map(float), max_size=7))
def test_tables_hold_all_sums_in_order_of_sum_and_mask(row: list[float]) -> None:
    values = torch.tensor([row, row[::-1]], dtype=torch.float64)
    sums = gpu.sums_by_mask(values)
    for b in range(2):
        for m in range(2 ** len(row)):
            assert sums[b, m] == sum(float(values[b, i]) for i in range(len(row)) if m >> i & 1)
    (table,) = gpu.one_table(values)
    ordered = sums.sort(dim=1, stable=True)
    assert torch.equal(table.sums, ordered.values)
    assert torch.equal(table.masks.long(), ordered.indices)
    for terms, part in enumerate(gpu.tables_by_terms(values)):
        places = gpu.masks_by_terms(len(row), values.device)[terms]
        ordered = sums[:, places].sort(dim=1, stable=True)
        assert torch.equal(part.sums, ordered.values)
        assert torch.equal(part.masks.long(), places[ordered.indices])


def test_the_more_targets_share_a_row_the_more_of_it_is_sorted() -> None:
    assert [gpu.table_values(21, count) for count in (1, 2, 8, 397_000)] == [10, 11, 12, 19]
    assert gpu.table_values(16, 397_000) == 16
    assert gpu.table_values(40, 10**9) == gpu.MAX_TABLE_VALUES


@pytest.mark.parametrize("n", [25, 33])
def test_finds_a_planted_subset(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.integers(-(2**40), 2**40, (2, n)) / 2.0**40  # sums are exact, so the planted error is 0
    planted = rng.random((2, n)) < 0.5
    answer = solve(values, (values * planted).sum(1), 1e-9)
    assert (answer.error <= 2.0 ** (14 - n)).all()


@objectives
def test_mixed_magnitudes_keep_the_small_values(objective: str) -> None:
    values = np.array([1e300, 1e-300, -1e290, 5e-300, 3.0, 2.0**-1060, 0.0])
    answer = solve(values, np.array([1e-300, 6e-300, 3.0, 2.0**-1060]), 1e-320, objective)
    np.testing.assert_array_equal(answer.error, 0.0)


def test_it_computes_where_the_run_does() -> None:
    config = composed(["device=cuda:1", "method=pensia", "method/solver=gpu"])
    assert config["method"]["solver"]["device"] == "cuda:1"


def test_refuses_a_device_without_float64_and_one_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"device=mps was refused.* no float64: use method/solver=meet_in_middle"):
        Gpu(device="mps")
    with pytest.raises(ConfigError, match="must be auto, cpu, cuda"):
        Gpu(device="gpu")
    with pytest.raises(ConfigError, match="device=cuda:99 was asked for"):
        Gpu(device="cuda:99").check_licence(8)


def test_refuses_more_values_than_memory_holds() -> None:
    with pytest.raises(ConfigError, match=r"n=41 .*at most 40.*n=40, or choose the solver milp"):
        solve(np.ones(41), np.array(1.0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@objectives
@shared_or_not
@pytest.mark.parametrize(("n", "count"), [(7, 20_000), (16, 20_000), (21, 5000), (28, 20)])
def test_on_a_gpu_it_is_the_same(n: int, count: int, shared: bool, objective: str) -> None:
    values, targets = random_instances(count, n, shared)
    answer = Gpu(device="cuda").solve(values, targets, 1e-3, objective)
    expected = MeetInMiddle().solve(values, targets, 1e-3, objective)
    np.testing.assert_allclose(answer.error, expected.error, atol=1e-13)
    tied = np.abs(answer.error - expected.error) > 0
    np.testing.assert_array_equal(answer.chosen[~tied], expected.chosen[~tied])
    few = slice(0, 200)
    ours = values if shared else values[few]
    on_cpu = Gpu(device="cpu").solve(ours, targets[few], 1e-3, objective)
    assert_equal(Gpu(device="cuda").solve(ours, targets[few], 1e-3, objective), on_cpu)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@objectives
@shared_or_not
def test_ties_fall_alike_on_a_gpu(objective: str, shared: bool) -> None:
    rng = np.random.default_rng(0)
    values, targets = rng.integers(-8, 9, (1 if shared else 5000, 11)) / 8, rng.integers(-99, 99, 5000) / 32
    on_cpu = Gpu(device="cpu").solve(values, targets, 1 / 16, objective)
    assert_equal(Gpu(device="cuda").solve(values, targets, 1 / 16, objective), on_cpu)
