"""What the kernels are made of: all subset sums, by mask or in order of value, and the one nearest a target.

A sum is always built by adding the chosen values in the order of their indices, so that two routes to the same subset
give the same bits: a sum found by value can be traced to its mask by looking for an equal one.
"""

import numpy as np

from lth_runner.core.compiled import compiled

INFINITE = 0x7FF0000000000000  # the bits of float64 infinity


@compiled(nogil=True)
def subset_sums(values: np.ndarray, sums: np.ndarray) -> None:
    """Fills `sums`: entry m is the sum of the values whose bit is set in m; works for floats and wrapping integers."""
    sums[0] = 0
    size = 1
    for k in range(values.size):
        value = values[k]
        for i in range(size):
            sums[size + i] = sums[i] + value
        size *= 2


@compiled(nogil=True)
def sorted_sums(values: np.ndarray, sums: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """All subset sums in ascending order, in one of the two buffers given, which hold 2^n numbers.

    Adding one value merges the sorted list with itself shifted: from both ends at once, because each step waits for the
    one before, and without branches that depend on the numbers.
    """
    sums[0] = 0
    size = 1
    for k in range(values.size):
        value = values[k]
        i, j, p, q = 0, 0, size - 1, size - 1
        for at in range(size):
            stay, move = sums[i], sums[j] + value
            spare[at] = min(stay, move)
            i += stay <= move
            j += not stay <= move
            stay, move = sums[p], sums[q] + value
            spare[2 * size - 1 - at] = max(stay, move)
            p -= stay > move
            q -= not stay > move
        sums, spare = spare, sums
        size *= 2
    return sums


@compiled(nogil=True)
def nearest_bits(table: np.ndarray, size: int, shift: float, target: float) -> int:
    """The smallest |table[i] + shift - target| over i < size, as its float64 bits.

    Bits of non-negative floats compare as the floats do, and LLVM vectorises a minimum of integers, not of floats.
    """
    best = INFINITE
    for i in range(size):
        best = min(best, np.float64(abs(table[i] + shift - target)).view(np.int64))
    return int(best)


@compiled(nogil=True)
def position_of_bits(table: np.ndarray, size: int, shift: float, target: float, bits: int) -> int:
    """The last i < size with |table[i] + shift - target| of these bits, -1 if there is none."""
    found = -1
    for i in range(size):
        found = max(found, i if np.float64(abs(table[i] + shift - target)).view(np.int64) == bits else -1)
    return found


@compiled(nogil=True)
def mask_of_sum(sums: np.ndarray, total: float, terms: int) -> int:
    """The mask of a subset whose sum in `sums` (by mask) equals `total` and has so many terms (-1: any number)."""
    for mask in range(sums.size):
        if sums[mask] == total and (terms < 0 or count_bits(mask) == terms):
            return mask
    return 0


@compiled(nogil=True)
def count_bits(mask: int) -> int:
    """Number of set bits."""
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@compiled(nogil=True)
def write_mask(chosen: np.ndarray, mask: int) -> None:
    """Writes the bits of `mask` to `chosen`."""
    for i in range(chosen.size):
        chosen[i] = (mask >> i) & 1
