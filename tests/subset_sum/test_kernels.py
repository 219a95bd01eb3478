"""The compiled inner loops against plain NumPy twins."""

import itertools

import numpy as np
import pytest

from lth_runner.subset_sum.kernels import bitmap, few, halves, mirrored, shared, sizes, sums
from lth_runner.subset_sum.meet_in_middle import binomials

ROW = np.array([0.5, -0.25, 0.125, 0.5, -1.0, 0.0, 0.375])


def numpy_sums(row: np.ndarray) -> np.ndarray:
    masks = np.arange(2**row.size)[:, None] >> np.arange(row.size) & 1
    return masks @ row


def test_subset_sums_go_by_mask() -> None:
    out = np.empty(2**7)
    sums.subset_sums(ROW, out)
    np.testing.assert_array_equal(out, numpy_sums(ROW))


def test_subset_sums_of_integers_wrap() -> None:
    row = np.array([2**31, 2**31 + 3, 5], np.uint32)
    out = np.empty(8, np.uint32)
    sums.subset_sums(row, out)
    np.testing.assert_array_equal(out, numpy_sums(row.astype(np.int64)) % 2**32)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_sorted_sums(n: int) -> None:
    expected = np.sort(numpy_sums(ROW[:n])) if n else np.zeros(1)
    np.testing.assert_array_equal(sums.sorted_sums(ROW[:n], np.empty(2**n), np.empty(2**n)), expected)


def test_sorted_table_carries_masks() -> None:
    table, masks = shared.sorted_table(ROW)
    np.testing.assert_array_equal(table, np.sort(numpy_sums(ROW)))
    np.testing.assert_array_equal(numpy_sums(ROW)[masks], table)
    assert len(set(masks.tolist())) == masks.size


@pytest.mark.parametrize("target", [-9.0, -0.3, 0.5, 0.51, 9.0])
def test_nearest_and_its_place(target: float) -> None:
    table = numpy_sums(ROW)
    bits = sums.nearest_bits(table, 100, 0.125, target)
    errors = np.abs(table[:100] + 0.125 - target)
    assert np.array(bits).view(np.float64) == errors.min()
    assert errors[sums.position_of_bits(table, 100, 0.125, target, bits)] == errors.min()
    assert sums.position_of_bits(table, 100, 0.125, target, bits - 1) == -1


@pytest.mark.parametrize("target", [-9.0, -1.0, 0.0, 0.125, 0.3, 9.0])
def test_lower_bound(target: float) -> None:
    table = np.sort(numpy_sums(ROW))
    assert shared.lower_bound(table, target) == np.searchsorted(table, target)


@pytest.mark.parametrize(("low_count", "high_count"), [(0, 1), (1, 1), (3, 4), (2, 5)])
@pytest.mark.parametrize("target", [-9.0, -0.3, 0.07, 0.4, 9.0])
def test_meet_finds_the_nearest_pair(low_count: int, high_count: int, target: float) -> None:
    rng = np.random.default_rng(3)
    low, high = np.sort(rng.normal(size=2**low_count)), np.sort(rng.normal(size=2**high_count))
    x, y = halves.meet(low, high, target)
    assert abs(x + y - target) == np.abs(low[:, None] + high - target).min()


def test_grouped_sums_are_sorted_within_each_size() -> None:
    groups = sizes.grouped_sums(ROW, np.empty(2**7), np.empty(2**7), binomials(7))
    by_size = [np.sort([sum(c) for c in itertools.combinations(ROW, k)]) for k in range(8)]
    np.testing.assert_array_equal(groups, np.concatenate(by_size))
    assert [sizes.group_start(7, k, binomials(7)) for k in range(4)] == [0, 1, 8, 29]


@pytest.mark.parametrize("terms", [1, 2, 3, 4, 5, 6, 7])
def test_listed_sums_of_a_size(terms: int) -> None:
    listed = np.zeros((7, 35))
    for k in range(1, terms):
        few.extend(ROW, k, listed, binomials(7))
    bits, last = few.best_of_size(ROW, 0.3, terms, listed, binomials(7))
    errors = {c: abs(ROW[list(c)].sum() - 0.3) for c in itertools.combinations(range(7), terms)}
    assert np.array(bits).view(np.float64) == min(errors.values())
    chosen = np.ones(7, bool)
    few.write(ROW, 0.3, terms, last, bits, listed, binomials(7), chosen)
    assert errors[tuple(np.flatnonzero(chosen).tolist())] == min(errors.values())


@pytest.mark.parametrize("cell_bits", [6, 9, 14])
def test_map_marks_the_neighbourhoods(cell_bits: int) -> None:
    rng = np.random.default_rng(0)
    units = rng.integers(0, 2**32, 50, dtype=np.uint32)
    units[:3] = 0, 2**32 - 1, 2**31
    half_cell = np.uint32(1 << (31 - cell_bits))
    words = np.full((1 << (cell_bits - 6)) + 1, 2**64 - 1, np.uint64)
    bitmap.mark(units, half_cell, cell_bits, words)
    marked = np.unpackbits(words[:-1].view(np.uint8), bitorder="little").astype(bool)
    ends = (units.astype(np.int64) + np.array([[-1], [1]]) * int(half_cell)) % 2**32 >> (32 - cell_bits)
    expected = np.zeros(2**cell_bits, bool)
    expected[ends] = True
    np.testing.assert_array_equal(marked, expected)


def test_bits_and_masks() -> None:
    assert [sums.count_bits(mask) for mask in (0, 1, 6, 255)] == [0, 1, 2, 8]
    chosen = np.ones(4, bool)
    sums.write_mask(chosen, 0b1010)
    np.testing.assert_array_equal(chosen, [False, True, False, True])


def signed_sums(row: np.ndarray) -> np.ndarray:
    return np.array(
        [
            sum(x * a for x, a in zip(signs, row, strict=True))
            for signs in itertools.product((0, 1, -1), repeat=row.size)
        ]
    )


@pytest.mark.parametrize("n", [0, 1, 2, 5, 7])
def test_sorted_signed_sums(n: int) -> None:
    found = mirrored.sorted_sums(ROW[:n], np.empty(3**n + 1), np.empty(3**n + 1))
    np.testing.assert_array_equal(found, np.sort(signed_sums(ROW[:n])))


@pytest.mark.parametrize("shared_row", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_pairs_are_solved_as_signed_sums_are_by_brute_force(n: int, shared_row: bool) -> None:
    rng = np.random.default_rng(n)
    rows = np.round(rng.uniform(-1, 1, (1 if shared_row else 20, n)), 2)
    rows[0, n // 2] = 0.0
    pairs = np.stack((rows, -rows), axis=2).reshape(len(rows), 2 * n)
    targets = rng.normal(0, 1, 20)
    targets[:2] = (99.0, 0.0)
    chosen, solved = np.zeros((20, 2 * n), bool), np.zeros(20, bool)
    mirrored.solve(pairs, targets, np.arange(20), chosen, solved)
    assert solved.all() and not (chosen[:, ::2] & chosen[:, 1::2]).any()
    errors = np.abs((pairs * chosen).sum(1) - targets)
    best = [np.abs(signed_sums(rows[0 if shared_row else b]) - targets[b]).min() for b in range(20)]
    np.testing.assert_allclose(errors, best, rtol=0, atol=1e-13)
