"""What a weight costs in bits: the least squared error at a rate, for independent N(0, 1) weights, code by code.

Rates R are in bits per weight, errors are mean squared errors, so of weights of another variance relative ones. All of
it is about weights that are known to be normal and count alike: it says nothing of heavy tails, scales, or which errors
a network feels.
"""

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, ndtr

LOSS = math.pi * math.e / 6  # of entropy-coded uniform quantisers at a high rate, as a factor on the error: 0.255 bit
FAR = 40.0  # standard deviations that count


def shannon(rate: Any) -> np.ndarray:
    """2^(-2 R): what no code goes below, and codes of ever longer blocks come near.

    Assumes: independent N(0, 1) weights, blocks of any length. Reference: Shannon 1959.
    """
    return np.exp2(-2.0 * np.asarray(rate, float))


def entropy_coded_high_rate(rate: Any) -> np.ndarray:
    """(pi e / 6) 2^(-2 R): rounding to a uniform grid without end, indices coded in the bits of their entropy.

    Assumes: a high rate, at which the density is flat over a step; too large below some 1.5 bits. Reference: Gish and
    Pierce, IEEE Trans. Inf. Theory 14 (1968).
    """
    return LOSS * shannon(rate)


def entropy_coded(step: float) -> tuple[float, float, float]:
    """Rounding N(0, 1) to multiples of `step`, a grid without end, indices coded in the bits of their entropy.

    Exact up to float64: sums over cells of closed forms.

    Returns:
        the rate, the error with the multiples themselves, and the error with the means of their cells instead, which
        take a table.
    """
    count = math.ceil(FAR / step)
    index = np.arange(-count, count + 1)
    low, high = (index - 0.5) * step, (index + 0.5) * step
    upper = np.where(index > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    density = [np.exp(-(edge**2) / 2) / math.sqrt(2 * math.pi) for edge in (low, high)]
    first = density[0] - density[1]  # integral of x over the cell
    second = upper + low * density[0] - high * density[1]
    value = index * step
    error = float(np.sum(second - 2 * value * first + value**2 * upper))
    own = upper[upper > 0]
    means = float(1 - np.sum(first[upper > 0] ** 2 / own))
    return float(-np.sum(own * np.log2(own))), error, means


def entropy_coded_exact(rate: float) -> float:
    """The error of `entropy_coded` with the means of cells at a rate, by the step that gives it.

    Args:
        rate: above 0.01 and below 12.
    """

    def surplus(step: float) -> float:
        return entropy_coded(step)[0] - rate

    return entropy_coded(brentq(surplus, 2.0**-10, 8.0, xtol=1e-12))[2]  # pyright: ignore[reportArgumentType]


def lloyd_max_high_rate(rate: Any) -> np.ndarray:
    """(sqrt(3) pi / 2) 2^(-2 R): the best scalar code at a fixed rate; `LloydMax` has the codes themselves.

    Assumes: a high rate; 2.5 % too large at 6 bits, 15 % at 3. Reference: Panter and Dite, Proc. IRE 39 (1951).
    """
    return math.sqrt(3) * math.pi / 2 * shannon(rate)


def random_codebook(rate: Any, block: Any) -> np.ndarray:
    """The mean error of the nearest of 2^(R B) random points for B weights together, the points drawn once.

    With N points the nearest of density N f(x) around x is at a distance whose ball holds one point on average: the
    squared distance has the mean Gamma(1 + 2 / B) (V_B N f)^(-2 / B), V_B the volume of the unit ball. Integrated over
    x, it is least for f of N(0, (B + 2) / B), which gives

    (1 / B) Gamma(1 + 2 / B) V_B^(-2 / B) 2 pi ((B + 2) / B)^((B + 2) / 2) 2^(-2 R).

    Assumes: points independent of each other, as those of random subsets nearly are, from that best normal density; so
    many that the density is flat over the distance to the nearest, which is too pessimistic below some R = 2, and for
    B = 1 too optimistic by the gaps in the tails. For B without end it becomes Shannon's bound.

    Args:
        rate: R.
        block: B, 1 or more; the two broadcast.
    """
    size = np.asarray(block, float)
    log_volume = size / 2 * math.log(math.pi) - gammaln(1 + size / 2)
    log_factor = gammaln(1 + 2 / size) - np.log(size) - 2 / size * log_volume + math.log(2 * math.pi)
    return np.exp(log_factor + (size + 2) / 2 * np.log((size + 2) / size)) * shannon(rate)


def lost_bits(error: Any, rate: Any) -> np.ndarray:
    """How many bits more than Shannon's bound a code takes: R - log2(1 / D) / 2."""
    return np.asarray(rate, float) + np.log2(np.asarray(error, float)) / 2
