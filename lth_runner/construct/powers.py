"""Whole numbers as sums of powers of two with random signs, and how many copies it takes to have them."""

from itertools import count

import numpy as np
from scipy.special import bdtr

from lth_runner.networks.chain_expansion import exponents, widths


def whole_number_sums(
    plus: np.ndarray, usable: np.ndarray, bits: int, needed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the edges 2^0, ..., 2^(B-1), 2^B, 2^B, ..., 2^B, each with a sign of its own, sum up to whole numbers.

    Lemma. Let there be one edge for each lower power, N the sum of those with a minus, and p edges +2^B and q edges
    -2^B. The subset sums are the whole numbers from -N - q 2^B to 2^B - 1 - N + p 2^B, all of them.

    Proof. Keeping a lower edge with a plus, or leaving out one with a minus, adds its power to N + sum, and nothing
    else changes N + sum: over the subsets of the lower edges it is every whole number from 0 to 2^B - 1, once. The
    other edges shift that interval, of length 2^B, by every multiple of 2^B from -q 2^B to p 2^B.

    So w is found as it is written: floor((w + N) / 2^B) edges of +-2^B, and the binary digits of what is left of w + N.
    Of w beyond reach the nearest end is taken.

    Args:
        plus: (..., m) bool, whether an edge's sign is plus.
        usable: (..., m) bool: an edge that is not is never kept, and what needs one is not reached.
        bits: B.
        needed: (...) int64.

    Returns:
        kept, (..., m) bool, and the sums, (...) int64.
    """
    power = 1 << np.arange(bits)
    minus = ~plus[..., :bits]
    below = minus @ power  # N
    upper = plus[..., bits:], usable[..., bits:]
    most, least = (upper[0] & upper[1]).sum(axis=-1), -(~upper[0] & upper[1]).sum(axis=-1)
    times = np.clip((needed + below) >> bits, least, most)
    rest = np.clip(needed + below - (times << bits), 0, (1 << bits) - 1)
    low = ((rest[..., None] & power) != 0) ^ minus
    own = (upper[0] == (times > 0)[..., None]) & upper[1]
    high = own & (own.cumsum(axis=-1) <= np.abs(times)[..., None])
    kept = np.concatenate((low, high), axis=-1) & usable
    signed = np.where(plus, kept, -kept.astype(np.int8)).astype(np.int64)
    return kept, signed[..., :bits] @ power + (signed[..., bits:].sum(axis=-1) << bits)


def powers(bits: int, copies: int) -> np.ndarray:
    """What the neurons of a block carry: 2^0, ..., 2^(bits - 1), and so many copies of 2^bits."""
    return np.append(1 << np.arange(bits), np.full(copies, 1 << bits))


def failures_behind_first(bits: int, doublings: int, first: int, copies: int, blocks: int) -> float:
    """At most so many neurons of the second hidden layer are expected to fail.

    One for 2^k needs 2^k <= 2^d of the `first` neurons before it, each of which has the sign that its input has, and an
    edge of sign plus, with probability 1/4.

    Args:
        blocks: chains.
    """
    neurons, doubled = widths(bits, doublings, first, copies)[1], exponents(bits, doublings)[1]
    return blocks * neurons * float(bdtr((1 << doubled) - 1, first, 0.25))


def failures_behind_copies(bits: int, doublings: int, copies: int, blocks: int, numbers: int) -> float:
    """At most so many neurons of later hidden layers, and whole numbers at their ends, are expected to fail.

    Where 2^B was the largest power before and 2^(B + d) is now, a neuron needs at most 2^d of `copies` edges of sign
    plus, each with probability 1/2: by the lemma of `whole_number_sums` the lower edges may have any signs. A whole
    number from -2^bits to 2^bits needs at most one edge of a certain sign, which `copies` edges lack with probability
    2^-copies.

    Args:
        blocks: chains.
        numbers: whole numbers, one for each weight and sign of its input.
    """
    steps = np.diff(exponents(bits, doublings))[1:]
    neurons = widths(bits, doublings, 1, copies)[2:]
    own = [each * float(bdtr((1 << int(step)) - 1, copies, 0.5)) for each, step in zip(neurons, steps, strict=True)]
    return blocks * sum(own) + numbers * 0.5**copies


def enough(bits: int, doublings: int, failure: float, blocks: int, numbers: int) -> tuple[int, int]:
    """The least (first, copies) with which each of both expectations is at most half of `failure`.

    The probability that anything fails is no larger than their sum.
    """
    copies = next(m for m in count(1) if failures_behind_copies(bits, doublings, m, blocks, numbers) <= failure / 2)
    first = next(m for m in count(1) if failures_behind_first(bits, doublings, m, copies, blocks) <= failure / 2)
    return first, copies
