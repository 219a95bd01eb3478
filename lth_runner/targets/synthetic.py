"""A target that nobody trained: Gaussian weights, for tests and for studies of the method alone."""

import math
from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture, tensors_of
from lth_runner.targets.state import arrays
from lth_runner.training.start import built


@dataclass(frozen=True, kw_only=True)
class SyntheticTarget:
    """Weights of a layer ~ N(0, gain^2 / fan_in), independent; biases are 0, all else is as the module is built.

    Attributes:
        gain: sqrt(2) keeps the size of activations through ReLU layers.
    """

    gain: float

    def __post_init__(self) -> None:
        checks.positive("target.gain", self.gain)

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """Drawn from the streams ("target", layer) of the run's seed."""
        module = built(network, streams, "target")
        found = arrays(tensors_of(module))
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                deviation = self.gain / math.sqrt(math.prod(parameter.shape[1:]))
                found[name] = streams("target", name).normal(0, deviation, tuple(parameter.shape))
            elif name.endswith("bias"):
                found[name] = np.zeros(parameter.shape)
        return found
