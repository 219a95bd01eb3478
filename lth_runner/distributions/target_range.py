"""Weights uniform over the range of the target's weights: what the paper's Experiment 1 draws."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.uniform import Uniform


@dataclass(frozen=True, kw_only=True)
class TargetRange:
    """U[min w, max w] over all weights w of the target network; becomes a `Uniform` once the target is known."""

    kind: ClassVar[str] = "target_range"

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> Uniform:
        del shape
        if target_range is None or target_range[0] == target_range[1]:
            raise ConfigError(
                "distribution target_range needs target weights that differ: choose a target, or distribution uniform"
            )
        return Uniform(low=target_range[0], high=target_range[1])

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        raise ConfigError("distribution target_range has no weights before it is fitted to a target")
