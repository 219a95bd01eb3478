"""What every kernel is made of: all subset sums, in order of their mask or of their value, and the one nearest a target.

A sum is always built by adding the chosen values in the order of their indices, so that two routes to the same subset give
the same bits: a sum found by value can be traced to its mask by looking for an equal one.
"""

import numba
import numpy as np

INFINITE = np.int64(0x7FF0000000000000)  # the bits of float64 infinity


@numba.njit(cache=True, nogil=True)
def subset_sums(values: np.ndarray, sums: np.ndarray) -> None:
    """Fills `sums`: entry m is the sum of the values whose bit is set in m; works for floats and wrapping integers."""
    sums[0] = 0
    size = 1
    for k in range(values.size):
        value = values[k]
        for i in range(size):
            sums[size + i] = sums[i] + value
        size *= 2


@numba.njit(cache=True, nogil=True)
def sorted_sums(values: np.ndarray, sums: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """All subset sums in ascending order, in one of the two buffers given; each holds 2^n + 2 numbers.

    Adding one value merges a sorted list with itself shifted; the merge has no branch that depends on the numbers.
    """
    sums[0] = 0
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
            i += first
            j += 1 - first
        sums, spare = spare, sums
        size *= 2
    return sums


@numba.njit(cache=True, nogil=True)
def nearest_bits(table: np.ndarray, size: int, shift: float, target: float) -> int:
    """The smallest |table[i] + shift - target| over i < size, as its float64 bits.

    Bits of non-negative floats compare as the floats do, and LLVM vectorises a minimum of integers but not one of floats.
    """
    best = INFINITE
    for i in range(size):
        best = min(best, np.float64(abs(table[i] + shift - target)).view(np.int64))
    return np.int64(best)


@numba.njit(cache=True, nogil=True)
def position_of_bits(table: np.ndarray, size: int, shift: float, target: float, bits: int) -> int:
    """The last i < size with |table[i] + shift - target| of these bits, -1 if there is none."""
    found = -1
    for i in range(size):
        found = max(found, i if np.float64(abs(table[i] + shift - target)).view(np.int64) == bits else -1)
    return found


@numba.njit(cache=True, nogil=True)
def mask_of_sum(sums: np.ndarray, total: float, terms: int) -> int:
    """The mask of a subset whose sum in `sums` (by mask) equals `total` and has so many terms (-1: any number)."""
    for mask in range(sums.size):
        if sums[mask] == total and (terms < 0 or count_bits(mask) == terms):
            return mask
    return 0


@numba.njit(cache=True, nogil=True)
def count_bits(mask: int) -> int:
    """Number of set bits."""
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@numba.njit(cache=True, nogil=True)
def write_mask(chosen: np.ndarray, mask: int) -> None:
    """Writes the bits of `mask` to `chosen`."""
    for i in range(chosen.size):
        chosen[i] = (mask >> i) & 1
