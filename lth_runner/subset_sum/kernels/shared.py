"""Closest subsets of many targets on one row of values: sort part of the sums once, then look each target up."""

import numpy as np

from lth_runner.core.compiled import compiled
from lth_runner.subset_sum.kernels.sums import subset_sums, write_mask


@compiled(nogil=True)
def sorted_table(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All subset sums in ascending order, and their masks."""
    sums, spare = np.empty((1 << values.size) + 1), np.empty((1 << values.size) + 1)
    masks, spare_masks = np.empty(1 << values.size, np.uint32), np.empty(1 << values.size, np.uint32)
    sums[0] = 0.0
    masks[0] = 0
    size = 1
    for k in range(values.size):
        value = values[k]
        sums[size] = np.inf  # neither reader ever passes the end
        i = 0
        j = 0
        for at in range(2 * size):
            stay = sums[i]
            move = sums[j] + value
            first = stay <= move
            spare[at] = stay if first else move
            spare_masks[at] = masks[i] if first else masks[j] | np.uint32(1 << k)
            i += first
            j += 1 - first
        sums, spare = spare, sums
        masks, spare_masks = spare_masks, masks
        size *= 2
    return sums[:size], masks


@compiled(nogil=True)
def solve(
    values: np.ndarray, targets: np.ndarray, rows: np.ndarray, chosen: np.ndarray, solved: np.ndarray,
    sums: np.ndarray, masks: np.ndarray, table_values: int,
) -> None:  # fmt: skip
    """Writes the closest subset of every instance in `rows`, given the sorted sums of the first `table_values`."""
    row = values[0]
    rest = np.empty(1 << (row.size - table_values))
    subset_sums(row[table_values:], rest)
    for at in range(rows.size):
        b = rows[at]
        best, best_mask = np.inf, 0
        for mask in range(rest.size):
            place = lower_bound(sums, targets[b] - rest[mask])
            for i in range(max(place - 1, 0), min(place + 1, sums.size)):
                error = float(abs(sums[i] + rest[mask] - targets[b]))
                if error < best:
                    best, best_mask = error, int(masks[i]) | (mask << table_values)
        write_mask(chosen[b], best_mask)
        solved[at] = True


@compiled(nogil=True)
def lower_bound(ascending: np.ndarray, target: float) -> int:
    """How many entries are below the target; halving steps without branches. The size is a power of two."""
    place = 0
    step = ascending.size
    while step > 1:
        step //= 2
        place += step if ascending[place + step - 1] < target else 0
    return place + (ascending[place] < target)
