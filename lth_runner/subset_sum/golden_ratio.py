"""Subsets by digits in the golden ratio, one value per digit at most, chosen greedily: Orseau et al. (2020)."""

import numpy as np

from lth_runner.subset_sum.interface import Subsets, certify, check_instances

GAMMA = (np.sqrt(5) - 1) / 2  # 1 / golden ratio: GAMMA^2 + GAMMA = 1
BLOCK = 4096  # rows whose digits stay in the second-level cache


def golden_ratio(values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
    """For each instance the greedy subset with at most one value per digit, all of the target's sign.

    Digit k belongs to the values with GAMMA^(k+1) < |v| <= GAMMA^k. Let r be what is left of |w|, whose own digit is m.
    From there on each digit takes the largest of its values that is at most r, if any. Claim: if every digit from m + 1
    to k has a value of the right sign, then r <= GAMMA^k after digit k. Before digit m + 1, r <= |w| <= GAMMA^m. Let
    r <= GAMMA^(k-1) before digit k. If v is taken, r - v <= GAMMA^(k-1) - GAMMA^(k+1) = GAMMA^k, since 1 - GAMMA^2 =
    GAMMA. If none is taken, all are above r, so r < GAMMA^k. Hence about log(|w| / epsilon) / log(1.618) digits are
    enough, and a value need not be exact: any in its interval does.

    Takes values (B, n), or (1, n) shared by all, as the solvers do. A digit without a value is skipped; the error is
    what it is.
    """
    check_instances(values, targets, epsilon, "closest")
    chosen = np.zeros((targets.size, values.shape[1]), bool)
    last = int(np.ceil(np.log(epsilon) / np.log(GAMMA)))
    for start in range(0, targets.size, BLOCK):
        rows = slice(start, start + BLOCK)
        _greedy(values if len(values) == 1 else values[rows], targets[rows], chosen[rows], last)
    return certify(values, targets, chosen, epsilon)


def _greedy(values: np.ndarray, targets: np.ndarray, chosen: np.ndarray, last: int) -> None:
    """Writes the choices of some instances, digit by digit down to `last`."""
    left = np.abs(targets)
    size = np.where(np.sign(values) == np.sign(targets)[:, None], np.abs(values), 0.0)
    with np.errstate(divide="ignore"):
        digit = np.where(size > 0, np.floor(np.log(size) / np.log(GAMMA)), np.inf)
        first = np.floor(np.log(left) / np.log(GAMMA))  # inf for a target of 0, which wants nothing
    if not np.isfinite(first).any():
        return
    instance = np.arange(targets.size)
    for k in range(int(first[np.isfinite(first)].min()), last + 1):
        usable = np.where((digit == k) & (size <= left[:, None]), size, 0.0)
        best = usable.argmax(axis=1)
        taken = usable[instance, best] > 0
        chosen[instance[taken], best[taken]] = True
        left -= usable[instance, best]
