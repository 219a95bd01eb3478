"""The vocabulary of a run: what a method is given, and what it returns."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.resources import Resources
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a ticket is sought for.

    Attributes:
        network: the target's architecture; None for studies without one.
        target: weights of the target network by layer name, float64 in the shape of the layer; None if there is none.
        data: the dataset on the device; None for studies of subset sum alone.
        streams: of this run's seed.
        device: "cpu" or "cuda".
    """

    network: Architecture | None
    target: dict[str, np.ndarray] | None
    data: Dataset | None
    streams: Streams
    device: str


@runtime_checkable
class Method(Protocol):
    """One way to find a ticket. Implementations are frozen keyword-only dataclasses that check their own arguments."""

    needs_target: ClassVar[bool]
    resources: ClassVar[Resources]  # what a job with this method asks of a cluster

    def find(self, problem: Problem, recorder: Recorder) -> Ticket:
        """Finds the ticket: a random network and its masks.

        Raises:
            ConfigError: this problem is not one the method can take.
        """
        ...
