"""What the questions of `targets_served` share: what is drawn, and what a point of their figure is."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Of whom the questions are asked.

    Attributes:
        numbers: distribution of every number, and of every coordinate of a vector.
        targets: distribution of every target.
        confidence: of every interval.
    """

    problem: Problem
    numbers: Distribution
    targets: Distribution
    confidence: float

    @property
    def streams(self) -> Streams:
        return self.problem.streams

    def draw_numbers(self, path: tuple[str, ...], *shape: int) -> np.ndarray:
        """Independent numbers."""
        return self.numbers.quantile(self.streams.uniform(path, 0, math.prod(shape)).reshape(shape))

    def draw_targets(self, path: tuple[str, ...], *shape: int) -> np.ndarray:
        """Independent targets."""
        return self.targets.quantile(self.streams.uniform(path, 0, math.prod(shape)).reshape(shape))


def point(
    panel: str, curve: str, label: str, targets: int, epsilon: float, share: float,
    n: tuple[float, float | None, float | None], law: float | None,
) -> dict[str, Any]:  # fmt: skip
    """The n that so many targets take.

    Args:
        share: of sets all of whose targets are within epsilon.
        n: with its interval, whose ends may be unknown.
        law: the n that the Poisson law predicts.
    """
    return {
        "panel": panel, "curve": curve, "label": label, "targets": targets, "epsilon": epsilon, "share": share,
        "n": n[0], "n_low": n[1], "n_high": n[2], "n_law": law,
    }  # fmt: skip
