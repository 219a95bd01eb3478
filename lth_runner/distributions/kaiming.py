"""Laws whose spread follows from the shape: std = gain / sqrt(fan), fan = inputs of one output.

Scaled by a density, only the inputs that a mask of this density keeps count: std = gain / sqrt(density * fan). A
density of 1 leaves the law unscaled.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.distributions.normal import Normal
from lth_runner.distributions.signs import Signs
from lth_runner.distributions.uniform import Uniform


@dataclass(frozen=True, kw_only=True)
class KaimingNormal:
    """N(0, std^2); with gain sqrt(2) the variance of a ReLU net's signal neither grows nor fades (He et al. 2015)."""

    kind: ClassVar[str] = "kaiming_normal"
    gain: float
    density: float

    def __post_init__(self) -> None:
        _check(self.gain, self.density)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> Normal:
        del target_range
        return Normal(std=_std(self.gain, self.density, shape))

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        raise _not_fitted("kaiming_normal")


@dataclass(frozen=True, kw_only=True)
class KaimingUniform:
    """U[-b, b] of standard deviation std: b = sqrt(3) std. Gain 1/sqrt(3) gives b = 1/sqrt(fan), torch's default."""

    kind: ClassVar[str] = "kaiming_uniform"
    gain: float
    density: float

    def __post_init__(self) -> None:
        _check(self.gain, self.density)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> Uniform:
        del target_range
        bound = math.sqrt(3) * _std(self.gain, self.density, shape)
        return Uniform(low=-bound, high=bound)

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        raise _not_fitted("kaiming_uniform")


@dataclass(frozen=True, kw_only=True)
class SignedConstant:
    """-std or +std: all weights of a layer have one size (Ramanujan et al. 2020)."""

    kind: ClassVar[str] = "signed_constant"
    gain: float
    density: float

    def __post_init__(self) -> None:
        _check(self.gain, self.density)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> Signs:
        del target_range
        return Signs(size=_std(self.gain, self.density, shape))

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        raise _not_fitted("signed_constant")


def _check(gain: float, density: float) -> None:
    checks.positive("gain", gain)
    checks.fraction("density", density)
    checks.positive("density", density)


def _std(gain: float, density: float, shape: tuple[int, ...]) -> float:
    return gain / math.sqrt(density * math.prod(shape[1:]))


def _not_fitted(name: str) -> ConfigError:
    return ConfigError(f"distribution {name} has no weights before it is fitted to a shape")
