"""Independent weights of one size and either sign."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks


@dataclass(frozen=True, kw_only=True)
class Signs:
    """-size or +size, each with probability 1/2."""

    kind: ClassVar[str] = "signs"
    size: float

    def __post_init__(self) -> None:
        checks.positive("size", self.size)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> "Signs":
        del shape, target_range
        return self

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        return np.where(uniform < 0.5, -self.size, self.size)
