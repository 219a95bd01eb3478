"""Weights that are all alike: what is left of them is the mask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Every weight is `value`."""

    kind: ClassVar[str] = "constant"
    value: float

    def __post_init__(self) -> None:
        checks.number("value", self.value)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Constant":
        del shape, target_range
        return self

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        return np.full(uniform.shape, self.value, np.float64)
