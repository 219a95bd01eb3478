"""Which scores are the largest: exact counts, ties to the lowest index, no long row sorted.

A mask keeps the `kept` largest |scores|; among equal ones the lowest index first. |score| is compared by its bits:
without the sign bit, float32 patterns read as integers have the order of the numbers. Scores must be finite.
"""

from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.search.captured import compiled_for_gpus

DIGIT = 4  # bits of a key decided by one pass of `row_keys`: 15 counts in one reading of the scores
KEY_BITS = 31
SHORT = 256  # scores of a row up to which all rows are sorted


@dataclass(frozen=True)
class Cut:
    """Where scores are cut: |score| > threshold is kept, and |score| == threshold where its index is below tie_end."""

    threshold: float
    tie_end: int


def kept_count(density: float, size: int) -> int:
    """Scores that a mask of this density keeps out of `size`."""
    return round(density * size)


def magnitude_keys(scores: torch.Tensor) -> torch.Tensor:
    """int32 that order as |scores| do; 0.0 and -0.0 are equal."""
    return scores.view(torch.int32) & 0x7FFFFFFF


def find_cut(scores: torch.Tensor, kept: int) -> Cut:
    """The cut that keeps `kept` of the scores (n,), which lie on the CPU."""
    if kept == 0:
        return Cut(float("inf"), 0)
    size, keys = scores.numel(), magnitude_keys(scores.detach())
    # NumPy's selection is many times faster than torch's
    key = torch.from_numpy(np.partition(keys.numpy(), size - kept)[size - kept : size - kept + 1])[0]
    ties = kept - int((keys > key).sum())
    tie_end = int(torch.nonzero(keys == key)[ties - 1]) + 1
    return Cut(key.view(torch.float32).item(), tie_end)


def top_mask(scores: torch.Tensor, kept: int) -> torch.Tensor:
    """Bool (n,): True at the `kept` largest magnitudes of the scores (n,)."""
    cut, size = find_cut(scores, kept), scores.detach().abs()
    before_tie_end = torch.arange(len(size), device=size.device) < cut.tie_end
    return (size > cut.threshold) | ((size == cut.threshold) & before_tie_end)


def top_masks(scores: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """(R, n) bool: of every row of scores what `top_mask` keeps.

    Args:
        scores: (R, n) float32; kept: (R,) int32.
    """
    if scores.device.type == "cpu":
        if scores.shape[1] <= SHORT:
            return sorted_masks(magnitude_keys(scores), kept)
        return torch.stack([top_mask(row, int(count)) for row, count in zip(scores, kept, strict=True)])
    keys = magnitude_keys(scores)
    return row_masks(keys, row_keys(keys, kept), kept)


def sorted_masks(keys: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """(R, n) bool: the `kept` largest keys of each row; many short rows are sorted faster than cut one by one."""
    order = keys.argsort(dim=1, descending=True, stable=True)
    first = torch.arange(keys.shape[1]) < kept[:, None]
    return torch.zeros_like(first).scatter_(1, order, first)


def row_keys(keys: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The smallest key that each row keeps, found by tensor operations alone: nothing waits for the device.

    The key is built from its highest digit down: the largest value that at least `kept` keys reach.

    Args:
        keys: (R, n) int32, not negative; kept: (R,) int32.

    Returns:
        (R,) int32; the largest possible int32 where nothing is kept.
    """
    key, unit = torch.zeros_like(kept), torch.ones_like(kept)
    for shift in reversed(range(0, KEY_BITS, DIGIT)):
        key = next_digit(keys, key, kept, unit << shift, 1 << min(DIGIT, KEY_BITS - shift))
    return key


@compiled_for_gpus
def next_digit(
    keys: torch.Tensor, key: torch.Tensor, kept: torch.Tensor, unit: torch.Tensor, values: int
) -> torch.Tensor:
    """The key plus its next digit times the digit's unit, (R,); one reading of the keys counts for all values."""
    counts = [(keys >= (key + value * unit)[:, None]).sum(1, dtype=torch.int32) for value in range(1, values)]
    return key + (torch.stack(counts) >= kept).sum(0, dtype=torch.int32) * unit


@compiled_for_gpus
def row_masks(keys: torch.Tensor, key: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """(R, n) bool: the `kept` largest keys of each row, `key` being the smallest of them."""
    above, equal = keys > key[:, None], keys == key[:, None]
    ties = kept - above.sum(1, dtype=torch.int32)
    return above | (equal & (count_up_to(equal) <= ties[:, None]))


# An operation of its own: compiled together with what reads the counts, a long scan crashes torch's compiler
# (pytorch issue 180221).
@torch.library.custom_op("lth_runner::count_up_to", mutates_args=())
def count_up_to(true: torch.Tensor) -> torch.Tensor:
    """(R, n) int32: how many entries of its row are True up to each entry of (R, n) bool, itself included."""
    counts = true.flatten().cumsum(0, dtype=torch.int32).view(true.shape)  # in one go, since rows are few and long
    return counts - (counts[:, :1] - true[:, :1].int())


@count_up_to.register_fake
def _(true: torch.Tensor) -> torch.Tensor:
    return torch.empty(true.shape, dtype=torch.int32, device=true.device)
