"""Where the weights of a target network come from."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture


@runtime_checkable
class Target(Protocol):
    """One source of target weights. Implementations are frozen keyword-only dataclasses."""

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """The network's whole state: parameters and the buffers of its state dict, in that order, tied ones once.

        Floating tensors are float64; others, as counters, are as they are.

        Args:
            data: on the device; None where the run has no dataset.
            streams: of the run's seed.

        Raises:
            ConfigError: this source has no weights for this network or this dataset.
            DataError: a file cannot be read.
        """
        ...


@runtime_checkable
class KeptInFile(Protocol):
    """A target whose weights lie in a file that `lth-verify --target` reads."""

    def file(self, network: Architecture, data: Dataset | None, device: str) -> Path | None:
        """The file, which need not exist; None if there is none for this network and this dataset."""
        ...
