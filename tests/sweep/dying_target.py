"""A target of somebody else's whose process dies in one job of a sweep. FAULTS=no lets all end well."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.targets.synthetic import SyntheticTarget

JOB = "SLURM_ARRAY_TASK_ID"  # Slurm's own; tests without it set it to "raise"


@dataclass(frozen=True, kw_only=True)
class Dying:
    """A synthetic target; the third job of an array is killed when it asks for the weights."""

    gain: float

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        if os.environ.get("FAULTS") != "no":
            if os.environ.get(JOB) == "2":
                os.kill(os.getpid(), signal.SIGKILL)
            if os.environ.get(JOB) == "raise":
                raise MemoryError("out of memory")
        return SyntheticTarget(gain=self.gain).weights(network, data, streams, device, recorder)
