"""Where the weights of a target network come from."""

from typing import Protocol, runtime_checkable

import numpy as np

from lth_runner.core.interfaces import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Network


@runtime_checkable
class Target(Protocol):
    """One source of target weights. Implementations are frozen keyword-only dataclasses."""

    def weights(
        self, network: Network, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """Everything the network's module needs to be filled, float64, the weights of `network.shapes()` first.

        A network without biases gets exactly the entries of `shapes()`; one with biases also theirs, by parameter name.

        Args:
            data: on the device; None where the run has no dataset.
            streams: of the run's seed.

        Raises:
            ConfigError: this source has no weights for this network or this dataset.
            DataError: a file cannot be read.
        """
        ...


def extra_names(network: Network) -> list[str]:
    """What the network's module has besides the weights of `shapes()`: its biases."""
    shapes = network.shapes()
    return [name for name in network.module().state_dict() if name not in shapes]
