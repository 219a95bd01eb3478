"""The law of Glorot and Bengio 2010: the variance follows from the inputs and the outputs of a layer."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.distributions.normal import Normal


@dataclass(frozen=True, kw_only=True)
class GlorotNormal:
    """N(0, std^2) with std = gain * sqrt(2 / (fan_in + fan_out)), fans of one weight's row and column.

    A convolution counts every place of its kernel in both fans, as torch's xavier_normal_ does.

    Attributes:
        gain: 1 as in the paper.
    """

    kind: ClassVar[str] = "glorot_normal"
    gain: float

    def __post_init__(self) -> None:
        checks.positive("gain", self.gain)

    def fitted(self, shape: tuple[int, ...], target_range: tuple[float, float] | None) -> Normal:
        """The normal law of a tensor (outputs, inputs, ...)."""
        del target_range
        places = math.prod(shape[2:])
        return Normal(std=self.gain * math.sqrt(2 / (places * (shape[0] + math.prod(shape[1:2])))))

    def quantile(self, uniform: np.ndarray) -> np.ndarray:
        """Refused: its spread is known once it is fitted."""
        raise ConfigError("distribution glorot_normal has no weights before it is fitted to a shape")
