"""The vocabulary of a run: what a method is given, and what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.resources import Resources
from lth_runner.ticket.ticket import Ticket

NEEDS = {
    "network": "a network and there is none: add network=fc",
    "target": "a target network to approximate and there is none: add target=trained",
    "data": "a dataset and there is none: add data=mnist",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a ticket is sought for.

    Attributes:
        network: the target's architecture; None for studies without one.
        target: parameters and persistent buffers of the target network by name, float64 but for whole numbers; None if
            there is none.
        data: the dataset on the device; None for studies of subset sum alone.
        streams: of this run's seed.
        device: "cpu" or "cuda".
    """

    network: Architecture | None
    target: dict[str, np.ndarray] | None
    data: Dataset | None
    streams: Streams
    device: str

    def need(self, *parts: str) -> tuple[Any, ...]:
        """These parts ("network", "target", "data"), none of them None.

        Raises:
            ConfigError: it names the first one missing and what to add.
        """
        for part in parts:
            if getattr(self, part) is None:
                raise ConfigError(f"this needs {NEEDS[part]}")
        return tuple(getattr(self, part) for part in parts)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a method found.

    Attributes:
        ticket: the network.
        times: seconds by name (solve_time_s): beside the ticket, since equal settings give equal tickets.
    """

    ticket: Ticket
    times: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Method(Protocol):
    """One way to find a ticket. Implementations are frozen keyword-only dataclasses that check their own arguments."""

    needs_target: ClassVar[bool]
    resources: ClassVar[Resources]  # what a job with this method asks of a cluster

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """Finds the ticket: a network and its masks.

        Raises:
            ConfigError: this problem is not one the method can take.
        """
        ...


@runtime_checkable
class FindsEach(Protocol):
    """A method that finds tickets of several densities in one go, of the same random network."""

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density; see `Method.find`."""
        ...


def settings_of(method: Any) -> list[str]:
    """The names of a method's settings."""
    return [field.name for field in fields(method)] if is_dataclass(method) else []
