"""Weights equally likely in every relative interval: Orseau et al.'s density p(w) ~ 1/|w|."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Hyperbolic:
    """log |w| uniform on [log low, log high], either sign with probability 1/2."""

    kind: ClassVar[str] = "hyperbolic"
    low: float
    high: float

    def __post_init__(self) -> None:
        checks.positive("low", self.low)
        checks.positive("high", self.high)
        if self.low >= self.high:
            raise ConfigError(f"low must be below high, got low={self.low} and high={self.high}")

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Hyperbolic":
        del shape, target_range
        return self

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        place = np.abs(2 * uniform - 1)  # 0 in the middle, where |w| = low
        size = self.low * (self.high / self.low) ** place
        return np.where(uniform < 0.5, -size, size)
