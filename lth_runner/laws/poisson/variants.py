"""The same law for other questions: several dimensions, numbers that may move, numbers that are frozen."""

import math
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.laws.poisson.averaged import failure
from lth_runner.laws.poisson.numbers import Moments
from lth_runner.laws.poisson.quenched import normal


def box_log_rate(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(B,) ln of the sums of n vectors per unit of volume at a target: n ln 2 + ln f, f normal.

    Its mean is half of the vectors' sum, its covariance sum a a^T / 4: exact ones. One mask that serves d targets is
    this with d dimensions. Assumes: n much larger than d. Fails: for targets in the tails, more so than in one
    dimension. Source: derived here.

    Args:
        values: (B, n, d).
        targets: (B, d).
    """
    if values.ndim != 3 or targets.shape != (values.shape[0], values.shape[2]):
        raise ConfigError(f"values must have shape (B, n, d) and targets (B, d), got {values.shape}, {targets.shape}")
    _, n, d = values.shape
    covariance = np.einsum("bni,bnj->bij", values, values) / 4
    away = targets - values.sum(axis=1) / 2
    _, log_det = np.linalg.slogdet(covariance)
    square = np.einsum("bi,bi->b", away, np.linalg.solve(covariance, away[..., None])[..., 0])
    return n * math.log(2) - 0.5 * (square + log_det + d * math.log(2 * math.pi))


def box_failure(log_rate: np.ndarray, dimensions: int, epsilon: float) -> np.ndarray:
    """P(no sum within epsilon in the largest coordinate): exp(-(2 epsilon)^d rate). So n ~ d log2(1 / epsilon)."""
    checks.positive("epsilon", epsilon)
    return np.exp(-np.exp(log_rate + dimensions * math.log(2 * epsilon)))


def box_error_quantile(log_rate: np.ndarray, dimensions: int, level: Any) -> np.ndarray:
    """Of the largest coordinate's error: (-ln(1 - level) / rate)^(1/d) / 2. Assumes: small beside the spread."""
    return 0.5 * np.exp((np.log(-np.log1p(-np.asarray(level, float))) - log_rate) / dimensions)


def moving_failure(values: np.ndarray, targets: np.ndarray, epsilon: float, moves: float) -> np.ndarray:
    """(B,) P(no sum within epsilon) where every number that is kept may move by up to `moves`.

    A sum of k numbers then covers epsilon + k moves. Its rate at w times twice the mean of that there: k given the
    sum is w has mean n / 2 + (sum a / 4) (w - m) / v. So a gain of about log2(1 + n moves / (2 epsilon)) numbers.
    Assumes: as `quenched.normal`; n moves small beside the spread. Fails: too low by the reach floor, by factors at
    failure rates below some 5 %. Source: derived here, for arXiv:2210.16589's setting.

    Args:
        values: (B, n).
        targets: (B,).
    """
    checks.positive("epsilon", epsilon)
    checks.not_negative("moves", moves)
    law = normal(values, targets)
    kept = values.shape[1] / 2 - values.sum(axis=1) / 4 * law.slope  # slope = -(w - m) / v
    window = epsilon + moves * np.clip(kept, 0, values.shape[1])
    return np.where(law.known <= epsilon, 0.0, np.exp(-2 * window * np.exp(law.log_rate)))


def frozen_failure(n: int, number: Moments, targets: Any, epsilon: float, *, locked: int, pruned: int) -> np.ndarray:
    """(T,) P(no sum within epsilon), averaged, where of n numbers some are locked in and some pruned beforehand.

    The others are free, and the target is shifted by the sum of the locked ones, N(locked mu, locked s^2): the same
    law with n - locked - pruned numbers and a wider spread. Assumes: as `averaged`. Source: derived here, for
    arXiv:2402.14029's setting.
    """
    free = n - locked - pruned
    if min(locked, pruned) < 0 or free < 1:
        raise ConfigError(f"at least one of n={n} numbers must be free, got locked={locked} and pruned={pruned}")
    shifted = np.atleast_1d(np.asarray(targets, float)) - locked * number.mean
    return failure(free, number, shifted, epsilon, shift_variance=locked * number.variance)
