"""The reach floor: the probability that all numbers of the target's sign together stay below it.

No precision helps then. It falls by one bit per number, up to exp(2 sqrt(n z)), while the failures of the local law
fall doubly exponentially for typical numbers: so it is what failures at large n are made of.
"""

import math
from typing import Any

import numpy as np
from scipy.signal import fftconvolve
from scipy.special import eval_laguerre

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError

BINS = 4096


def uniform_floor(n: Any, z: Any) -> np.ndarray:
    """2^-n L_n(-z) = 2^-n sum_k C(n, k) z^k / k!: numbers U[-1, 1], target z in [0, 1]. Exact.

    k numbers are positive with probability C(n, k) / 2^n, and their sum is below z <= 1 with z^k / k!. As n grows,
    2^-n exp(2 sqrt(n z)) up to powers of n. Numbers and target scale together. Source: derived here.
    """
    z = np.asarray(z, float)
    if not ((z >= 0) & (z <= 1)).all():
        raise ConfigError(f"z must lie in [0, 1], in units of the numbers' bound, got {z.min()} to {z.max()}")
    return eval_laguerre(np.asarray(n), -z) / np.exp2(np.asarray(n, float))


def floor(numbers: np.ndarray, n: int, z: float) -> float:
    """P(sum of the positive ones of n numbers < z), z > 0, for any distribution.

    The n-fold convolution of a grid on [0, z], by repeated squaring; a number is shared between its two neighbours on
    the grid, so that its mean stays. Fails: below some 1e-13, the rounding of the convolutions; its other error is
    about (1 / BINS)^2 relative to the curvature of the distribution.

    Args:
        numbers: equally likely values of one number, as `numbers.equally_likely` gives them.
    """
    checks.integer("n", n, at_least=0)
    checks.positive("z", z)
    place = np.maximum(numbers, 0) / z * BINS
    place = place[place < BINS]
    left = place.astype(np.int64)
    mass = np.zeros(BINS + 1)
    np.add.at(mass, left, 1 - (place - left))
    np.add.at(mass, left + 1, place - left)
    total = _power(mass / numbers.size, n)
    return float(np.clip(total[:BINS].sum() + total[BINS] / 2, 0, 1))


def quenched_floor(values: np.ndarray, targets: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """(B,) bool, whether the target is further than epsilon beyond the sum of all numbers of its sign. Exact."""
    reach = np.maximum(values * np.sign(targets)[:, None], 0).sum(axis=1)
    return reach < np.abs(targets) - epsilon


def growth(n: int, z: float) -> float:
    """2^-n exp(2 sqrt(n z)) e^(-z / 2) / sqrt(4 pi sqrt(n z)), what `uniform_floor` tends to (Perron's formula)."""
    root = math.sqrt(n * z)
    return math.exp(2 * root - z / 2 - n * math.log(2)) / math.sqrt(4 * math.pi * root)


def _power(mass: np.ndarray, n: int) -> np.ndarray:
    """The n-fold convolution, cut off where `mass` ends."""
    result = np.zeros(mass.size)
    result[0] = 1.0
    square = mass
    while n:
        if n & 1:
            result = fftconvolve(result, square)[: mass.size]
        square = fftconvolve(square, square)[: mass.size]
        n >>= 1
    return result
