"""Closest subset by a bitmap that lives in the first-level cache: the fast road for n up to about 24.

The values are split by magnitude. All sums of the smaller half, the table, mark their neighbourhood of radius r on a
map of cells 2 r wide; each sum of the larger half then needs the table sum `target - sum`, and one look at the map says
whether any lies within r. The few that hit are compared with the whole table in float64. If the best pair found is
nearer than r, no pair that missed can beat it and the answer is proven. Otherwise r grows, and where the map helps
nothing the instance is left to `halves`.

The map works on integers: sums are counted in units of about 2^-32 of the table's range and wrap around, which is exact
and can only add hits. A sum is off by less than one unit for each value, the target by less than one; r allows for it.
"""

from collections import namedtuple

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.subset_sum.kernels.sums import INFINITE, nearest_bits, position_of_bits, subset_sums

EXPECTED_NEAR = 4.0  # pairs within r that a normal law predicts; the proof fails with probability e^-4,
COARSER = 4.0  # and is tried again with r so many times larger
MIN_CELLS = 64.0  # with fewer a map says nothing
MAX_CELLS = 2.0**18  # one bit each: 32 KiB
INNER_BITS = 5  # sums of the larger half come in blocks of 32, dropped whole where they are beyond the table
MAX_HITS = 256  # values on a coarse grid hit everywhere; the other road is faster then
LARGEST_UNITS = 2.0**42  # beyond that the rounding of float64 sums would reach a unit

Scratch = namedtuple("Scratch", "order values units table table_units inner inner_units outer outer_units words")


@compiled(nogil=True)
def solve(values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, solved: np.ndarray) -> None:
    """Writes the closest subset of every instance in `rows` to `chosen`, and to `solved` whether it is proven."""
    n = values.shape[1]
    h = n // 2
    inner = min(INNER_BITS, n - h)
    outer = n - h - inner
    scratch = Scratch(
        np.empty(n, np.int64), np.empty(n), np.empty(n, np.uint32),
        np.empty(1 << h), np.empty(1 << h, np.uint32),
        np.empty(1 << inner), np.empty(1 << inner, np.uint32),
        np.empty(1 << outer), np.empty(1 << outer, np.uint32),
        np.empty(int(MAX_CELLS) // 64 + 1, np.uint64),
    )  # fmt: skip
    shared = values.shape[0] == 1
    for at in range(rows.size):
        b = rows[at]
        order_by_magnitude(values[0 if shared else b], scratch)
        solved[at] = solve_one(float(targets[b]), h, inner, chosen[b], scratch)


@compiled(nogil=True)
def solve_one(target: float, h: int, inner: int, chosen: np.ndarray, scratch: Scratch) -> bool:
    """Solves the instance whose ordered values lie in `scratch`; False if the answer is not proven."""
    values = scratch.values
    low, high = reach(values[:h])
    span = high - low
    cells = choose_cells(values, target, span)
    if not max(abs(target), abs(values[-1])) * 2.0**32 < LARGEST_UNITS * span:
        return False
    while cells >= MIN_CELLS:
        cell_bits = int(np.ceil(np.log2(cells)))
        scale = cells * 2.0 ** (32 - cell_bits) / span
        half_cell = np.uint32(1 << (31 - cell_bits))
        fill_tables(scale, h, inner, scratch)
        mark(scratch.table_units, half_cell, cell_bits, scratch.words)
        bits, outer_mask, inner_mask = probe(target, scale, low, high, half_cell, cell_bits, inner, scratch)
        if bits < 0:
            return False
        radius = (half_cell - (values.size + 2)) / scale
        if np.int64(bits).view(np.float64) <= radius:
            shift = scratch.outer[outer_mask] + scratch.inner[inner_mask]
            table_mask = position_of_bits(scratch.table, 1 << h, shift, target, bits)
            write(table_mask | (inner_mask << h) | (outer_mask << (h + inner)), scratch.order, chosen)
            return True
        cells /= COARSER
    return False


@compiled(nogil=True)
def order_by_magnitude(row: np.ndarray, scratch: Scratch) -> None:
    """Puts the values in ascending order of magnitude by counting, without branches, how many come before each."""
    for i in range(row.size):
        magnitude = abs(row[i])
        rank = 0
        for j in range(row.size):
            other = abs(row[j])
            rank += (other < magnitude) | ((other == magnitude) & (j < i))
        scratch.order[rank] = i
        scratch.values[rank] = row[i]


@compiled(nogil=True)
def reach(values: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest subset sum."""
    low = 0.0
    high = 0.0
    for value in values:
        low += min(value, 0.0)
        high += max(value, 0.0)
    return low, high


@compiled(nogil=True)
def choose_cells(values: np.ndarray, target: float, span: float) -> float:
    """How many cells leave EXPECTED_NEAR pairs within r, if the 2^n sums were normal; only speed depends on it."""
    mean = 0.0
    variance = 0.0
    for value in values:
        mean += value / 2
        variance += value * value / 4
    if not variance > 0:
        return 0.0
    deviation = np.sqrt(variance)
    off = (target - mean) / deviation
    sums_in_span = 2.0**values.size * np.exp(-off * off / 2) / np.sqrt(2 * np.pi) * (span / deviation)
    return min(sums_in_span / EXPECTED_NEAR, MAX_CELLS)


@compiled(nogil=True)
def fill_tables(scale: float, h: int, inner: int, scratch: Scratch) -> None:
    """All sums of the table, of one block of the larger half and of the blocks' offsets, as floats and in units."""
    for k in range(scratch.values.size):
        scratch.units[k] = np.uint32(np.int64(scratch.values[k] * scale))
    subset_sums(scratch.values[:h], scratch.table)
    subset_sums(scratch.units[:h], scratch.table_units)
    subset_sums(scratch.values[h : h + inner], scratch.inner)
    subset_sums(scratch.units[h : h + inner], scratch.inner_units)
    subset_sums(scratch.values[h + inner :], scratch.outer)
    subset_sums(scratch.units[h + inner :], scratch.outer_units)


@compiled(nogil=True)
def mark(table_units: np.ndarray, half_cell: np.uint32, cell_bits: int, words: np.ndarray) -> None:
    """Sets the two cells that [t - r, t + r] covers, for every sum t of the table, r being half a cell."""
    last = 1 << (cell_bits - 6)
    words[: last + 1] = 0
    down = np.uint32(32 - cell_bits)
    for i in range(table_units.size):
        cell = np.uint32(table_units[i] - half_cell) >> down
        word = cell >> np.uint32(6)
        bit = cell & np.uint32(63)
        words[word] |= np.uint64(3) << np.uint64(bit)
        if bit == 63:
            words[word + np.uint32(1)] |= np.uint64(1)
    words[0] |= words[last]


@compiled(nogil=True)
def probe(
    target: float, scale: float, low: float, high: float, half_cell: np.uint32, cell_bits: int, inner: int,
    scratch: Scratch,
) -> tuple[int, int, int]:  # fmt: skip
    """The smallest error (as bits) of the pairs that hit the map, and its two masks in the larger half.

    The error is -1 after too many hits.
    """
    down = np.uint32(32 - cell_bits)
    radius = half_cell
    allowance = scratch.values.size + 2
    slack = 2 * half_cell / scale
    h = scratch.values.size // 2
    inner_low, inner_high = reach(scratch.values[h : h + inner])
    target_units = np.uint32(np.int64(target * scale))
    table, words = scratch.table_units, scratch.words
    best, best_outer, best_inner, hits = INFINITE, 0, 0, 0
    for t in range(scratch.outer.size):
        sought = target - scratch.outer[t]
        if sought - inner_low + slack < low or sought - inner_high - slack > high:
            continue
        wanted_units = np.uint32(target_units - scratch.outer_units[t])
        for j in range(scratch.inner.size):
            units = np.uint32(wanted_units - scratch.inner_units[j])
            at = np.uint32(units >> down)
            if (words[at >> np.uint32(6)] >> np.uint64(at & np.uint32(63))) & np.uint64(1):
                hits += 1
                if gap_above(table, np.uint32(units - radius)) <= np.uint32(2 * radius):
                    shift = scratch.outer[t] + scratch.inner[j]
                    bits = nearest_bits(scratch.table, table.size, shift, target)
                    if bits < best:
                        best, best_outer, best_inner = bits, t, j
                        error = np.int64(bits).view(np.float64) * scale + allowance
                        radius = np.uint32(min(error, float(half_cell)))  # worse pairs need no second look
        if best == 0:
            break
        if hits > MAX_HITS:
            return -1, 0, 0
    return best, best_outer, best_inner


@compiled(nogil=True)
def gap_above(table_units: np.ndarray, units: np.uint32) -> np.uint32:
    """Distance from `units` up to the next entry of the table, around the wrap."""
    gap = np.uint32(0xFFFFFFFF)
    for i in range(table_units.size):
        gap = min(gap, np.uint32(table_units[i] - units))
    return gap


@compiled(nogil=True)
def write(mask: int, order: np.ndarray, chosen: np.ndarray) -> None:
    """Writes the bits of a mask of the ordered values to `chosen`, in the order given by the user."""
    for k in range(order.size):
        chosen[order[k]] = (mask >> k) & 1
