"""Weights uniform over the range of the target's weights: what the paper's Experiment 1 draws."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.uniform import Uniform


@dataclass(frozen=True, kw_only=True)
class TargetRange:
    """U[min w, max w] over all weights w of the target network; becomes a `Uniform` once the target is known."""

    def fitted(self, shape: tuple[int, ...], target: np.ndarray | None) -> Uniform:
        del shape
        if target is None or target.size == 0 or target.min() == target.max():
            raise ConfigError(
                "distribution target_range needs target weights that differ: choose a target, or distribution uniform"
            )
        return Uniform(low=float(target.min()), high=float(target.max()))

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        raise ConfigError("distribution target_range has no weights before it is fitted to a target")
