"""The weights that the network's builder brings: pretrained ones, or those it draws."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture, tensors_of
from lth_runner.targets.state import arrays
from lth_runner.training.start import built


@dataclass(frozen=True, kw_only=True)
class OwnTarget:
    """What the network's module holds when it is built; what it draws then comes from the run's seed."""

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """Drawn, where it is drawn, by torch under the seed of the stream ("own",)."""
        return arrays(tensors_of(built(network, streams, "own")))
