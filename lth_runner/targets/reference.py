"""The trained network behind this project's own tables, shipped, so that they come out alike on every machine."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture

FILE = Path(__file__).with_name("reference.safetensors")
SHA256 = "dca1c9cddb79fa5c614284cd73ffbc605e346b8dcdf1a021fe24228272022692"
NETWORK = FullyConnected(inputs=784, hidden=500, outputs=10, depth=2, biases=False)


@dataclass(frozen=True, kw_only=True)
class ReferenceTarget:
    """784-500-10 without biases, trained on MNIST by `target=trained` with seed 0, its weights in half precision.

    Its accuracy is that of the trained network, 98.33 %. A network that is trained anew differs in its last bits
    between processors and versions of torch, and with it everything that is made of it; this one does not.
    """

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses any other network."""
        del data
        if network != NETWORK:
            raise ConfigError("target=reference is a 784-500-10 network without biases: take network=fc as it is")

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """The shipped weights, float64.

        Raises:
            ConfigError: the network is another one.
            DataError: the installed file is damaged.
        """
        self.check(network, data)
        content = FILE.read_bytes()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise DataError(f"{FILE} is damaged: install lth_runner again")
        recorder.say("target: the reference weights shipped with lth_runner")
        return {name: array.astype(np.float64) for name, array in load(content).items()}

    def file(self, network: Architecture, data: Dataset | None, device: str) -> Path:
        """The shipped file; see `KeptInFile`."""
        return FILE
