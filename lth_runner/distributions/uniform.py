"""Independent weights, uniform on an interval: Pensia et al.'s U[-1, 1] and its like."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """U[low, high]."""

    kind: ClassVar[str] = "uniform"
    low: float
    high: float

    def __post_init__(self) -> None:
        checks.number("low", self.low)
        checks.number("high", self.high)
        if self.low >= self.high:
            raise ConfigError(f"low must be below high, got low={self.low} and high={self.high}")

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Uniform":
        del shape, target_range
        return self

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        return self.low + (self.high - self.low) * uniform
