"""Weights on an even grid: few values, so that sums repeat, and targets between them stay out of reach."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks


@dataclass(frozen=True, kw_only=True)
class Grid:
    """step * m with m uniform on the integers from -largest to largest."""

    kind: ClassVar[str] = "grid"
    largest: int
    step: float

    def __post_init__(self) -> None:
        checks.integer("largest", self.largest, at_least=1)
        checks.positive("step", self.step)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Grid":
        del shape, target_range
        return self

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        return self.step * (np.floor(uniform * (2 * self.largest + 1)) - self.largest)
