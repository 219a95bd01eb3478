"""Which scores are the largest: exact counts, ties settled, no sort, no wait for the device.

The mask of a segment keeps its `kept` largest |scores|; among equal ones the lowest index first. |score| is compared by
its bits: without the sign bit, float32 patterns read as integers have the order of the numbers. Scores must be finite.
"""

from dataclasses import dataclass

import torch

DIGITS = ((20, 11), (10, 10), (0, 10))  # (shift, bits): the 31 bits of |score|, most significant first


@dataclass(frozen=True)
class Cut:
    """Where R rows of S segments are cut.

    Attributes:
        key: (R, S) int32, bits of the smallest |score| kept; nothing is kept above the largest possible.
        ties: (R, S) int64, how many scores equal to it are kept, lowest index first.
    """

    key: torch.Tensor
    ties: torch.Tensor


def kept_count(density: float, size: int) -> int:
    """Scores that a mask of this density keeps out of `size`."""
    return round(density * size)


def magnitude_keys(scores: torch.Tensor) -> torch.Tensor:
    """int32 that order as |scores| do; 0.0 and -0.0 are equal."""
    return scores.view(torch.int32) & 0x7FFFFFFF


def find_cut(keys: torch.Tensor, segment: torch.Tensor, kept: torch.Tensor) -> Cut:
    """Radix selection, all rows and segments at once: three histograms, each of the next digit of the keys in question.

    Args:
        keys: (R, N) int32, not negative.
        segment: (N,) int64, ascending, 0 to S - 1.
        kept: (R, S) int64, wanted in each segment.
    """
    rows, segments = kept.shape
    wanted, prefix = kept, torch.zeros_like(kept)
    for shift, bits in DIGITS:
        bins = 1 << bits
        digit = ((keys >> shift) & (bins - 1)) + segment * bins  # (R, N)
        asked = (keys >> (shift + bits)) == prefix[:, segment]
        histogram = torch.zeros(rows, segments * bins, dtype=torch.int32, device=keys.device)
        histogram.scatter_add_(1, digit, asked.int())
        at_least = histogram.view(rows, segments, bins).flip(2).cumsum(2)  # [j] = keys of digit bins - 1 - j or more
        passed = (at_least < wanted[..., None]).sum(2).clamp_(max=bins - 1)  # digits too high to reach `wanted`
        above = torch.nn.functional.pad(at_least, (1, 0)).gather(2, passed[..., None]).squeeze(2)
        wanted = wanted - above
        prefix = (prefix << bits) | (bins - 1 - passed)
    return Cut(prefix.int(), wanted)


def cut_mask(keys: torch.Tensor, segment: torch.Tensor, cut: Cut) -> torch.Tensor:
    """(R, N) bool: True where the cut keeps."""
    key = cut.key[:, segment]
    equal = keys == key
    order = torch.nn.functional.pad(equal.cumsum(1), (1, 0))  # [i] = equal ones before i, over all segments
    first = torch.searchsorted(segment, torch.arange(cut.key.shape[1], device=keys.device))
    rank = order[:, :-1] - order[:, first][:, segment]
    return (keys > key) | (equal & (rank < cut.ties[:, segment]))


def top_mask(scores: torch.Tensor, kept: int) -> torch.Tensor:
    """Bool in the shape of `scores`: True at its `kept` largest magnitudes."""
    keys = magnitude_keys(scores.detach().reshape(1, -1))
    segment = torch.zeros(keys.shape[1], dtype=torch.int64, device=keys.device)
    cut = find_cut(keys, segment, torch.tensor([[kept]], device=keys.device))
    return cut_mask(keys, segment, cut).view(scores.shape)
