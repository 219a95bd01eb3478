"""Masks at equal error: how many numbers subsets of each size take, and how many bits their masks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.laws.of_size import closest_of_size
from lth_runner.laws.statistics import binomial_interval
from lth_runner.subset_sum.interface import SubsetSumSolver
from lth_runner.ticket.coder import code_bits, entropy_bits, histogram


@dataclass(frozen=True, kw_only=True)
class EqualError:
    """Masks that are compared at the same error.

    Attributes:
        label: for people.
        epsilon: allowed absolute error.
        share: of instances that must be within epsilon.
        most_n: the largest n looked at, by size.
    """

    label: str
    epsilon: float
    share: float
    most_n: dict[int, int]

    def __post_init__(self) -> None:
        checks.positive("epsilon", self.epsilon)
        checks.fraction("share", self.share)

    def least(
        self, values: np.ndarray, targets: np.ndarray, size: int | None, confidence: float, solver: SubsetSumSolver
    ) -> dict[str, Any]:
        """The least n of numbers that are offered one by one, with its interval, and what its masks take.

        Args:
            values: (B, most n).
            targets: (B,).
            size: of the subsets; None: any.
            solver: for subsets of any size, exact.
        """

        @cache
        def solved(n: int) -> tuple[int, np.ndarray]:
            error, masks = best_masks(values[:, :n], targets, size, solver)
            return int((error <= self.epsilon).sum()), masks

        counts = np.arange(targets.size + 1)
        low, high = binomial_interval(counts, targets.size, confidence)
        needed = [int(np.argmax(enough)) for enough in (counts >= self.share * targets.size, high >= self.share)]
        needed.append(int(np.argmax(low >= self.share)))
        n, n_low, n_high = (first_n(lambda n: solved(n)[0], count, size or 1, values.shape[1]) for count in needed)
        masks = solved(n)[1]
        symbols = masks.ravel().astype(np.uint8)
        tally = histogram(symbols, 2)
        k = float(masks.sum(axis=1).mean())
        subsets = math.log2(math.comb(n, size)) if size else float(n)
        return {
            "n": n, "n_low": n_low, "n_high": n_high, "k": k, "density": k / n, "any_size": int(size is None),
            "epsilon": self.epsilon, "share": self.share, "entropy": entropy_bits(tally) / targets.size,
            "coded_bits": code_bits(symbols, tally) / targets.size, "subset_bits": subsets,
        }  # fmt: skip


def best_masks(
    values: np.ndarray, targets: np.ndarray, size: int | None, solver: SubsetSumSolver
) -> tuple[np.ndarray, np.ndarray]:
    """(B,) errors and (B, n) masks of the closest subsets of a size, or of any."""
    if size is None:
        answer = solver.solve(np.ascontiguousarray(values), targets, 1.0, "closest")
        return answer.error, answer.chosen
    error, kept = closest_of_size(values, targets, size)
    masks = np.zeros(values.shape, bool)
    np.put_along_axis(masks, kept, True, axis=1)
    return error, masks


def first_n(count_of: Callable[[int], int], needed: int, low: int, most: int) -> int:
    """The least n from `low` to `most` whose count, which never falls with n, is at least `needed`.

    Raises:
        ConfigError: it is not reached.
    """
    if count_of(most) < needed:
        raise ConfigError(f"n={most} is too few for the error asked for: raise most_n")
    before, there = low - 1, most
    while there - before > 1:
        middle = (before + there) // 2
        before, there = (before, middle) if count_of(middle) >= needed else (middle, there)
    return there
