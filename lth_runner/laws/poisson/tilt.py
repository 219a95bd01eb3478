"""The inner loop of the tilted density, compiled."""

import math

import numpy as np

from lth_runner.core.compiled import compiled

STEPS, PRECISE = 200, 1e-7  # at most; and how near the mean must come to the target, in standard deviations


@compiled(nogil=True)
def tilt(values: np.ndarray, targets: np.ndarray, log_rate: np.ndarray, slope: np.ndarray) -> None:
    """Writes ln(sums per unit of length) at each target and its slope there; -inf and 0 beyond the reach.

    The weight of a subset is multiplied by exp(theta * its sum), theta such that the mean sum is the target: Newton's
    method in theta, kept inside the bracket that its signs have shown.
    """
    for b in range(targets.size):
        row, target = values[b], targets[b]
        log_rate[b], slope[b] = -math.inf, 0.0
        low, high = 0.0, 0.0
        for value in row:
            low += min(value, 0.0)
            high += max(value, 0.0)
        if not low < target < high:
            continue
        theta, left, right = 0.0, -math.inf, math.inf
        for _ in range(STEPS):
            excess, variance, third, fourth, log_sum = -target, 0.0, 0.0, 0.0, 0.0
            for value in row:
                if value == 0:
                    continue
                x = theta * value
                small = math.exp(-abs(x))
                share = 1 / (1 + small) if x > 0 else small / (1 + small)
                excess += value * share
                own = value * value * small / (1 + small) ** 2  # variance of value * Bernoulli(share)
                variance += own
                third += own * value * (1 - 2 * share)
                fourth += own * value * value * (1 - 6 * small / (1 + small) ** 2)
                log_sum += max(x, 0.0) + math.log1p(small)
            if variance == 0:
                break
            correction = fourth / (8 * variance**2) - 5 * third**2 / (24 * variance**3)
            log_rate[b] = log_sum - theta * target - 0.5 * math.log(2 * math.pi * variance) + correction
            slope[b] = -theta
            if abs(excess) <= PRECISE * math.sqrt(variance):
                break
            if excess < 0:
                left = theta
            else:
                right = theta
            theta -= excess / variance
            if not left < theta < right:
                theta = _inside(left, right)


@compiled(nogil=True)
def _inside(left: float, right: float) -> float:
    if right == math.inf:
        return 2 * left + 1 if left > 0 else 1.0
    if left == -math.inf:
        return 2 * right - 1 if right < 0 else -1.0
    return (left + right) / 2
