"""Independent normal weights."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from lth_runner.core import checks


@dataclass(frozen=True, kw_only=True)
class Normal:
    """N(0, std^2)."""

    kind: ClassVar[str] = "normal"
    std: float

    def __post_init__(self) -> None:
        checks.positive("std", self.std)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Normal":
        del shape, target_range
        return self

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        return self.std * ndtri(uniform)
