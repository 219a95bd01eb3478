"""The vocabulary of a run: what a method is given, what it returns, and what it may tell while it works."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np

from lth_runner.core.resources import Resources
from lth_runner.core.streams import Streams
from lth_runner.core.ticket import Ticket

if TYPE_CHECKING:  # core knows these only by name
    from lth_runner.data.interface import Dataset
    from lth_runner.networks.interface import Network


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

    network: "Network | None"
    target: dict[str, np.ndarray] | None
    data: "Dataset | None"
    streams: Streams
    device: str


class Progress(Protocol):
    """One bar, or one line now and then where there is no terminal."""

    def advance(self, amount: int, note: str = "") -> None:
        """Adds `amount` finished units and shows `note` beside the bar."""
        ...


@runtime_checkable
class Recorder(Protocol):
    """Where a run tells what happens. Methods never print, and write no file but at the path of `checkpoint`."""

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Progress]:
        """A progress bar over `total` units."""
        ...

    def metrics(self, **values: float | int | str) -> None:
        """One line of metrics, appended and forwarded to W&B."""
        ...

    def say(self, line: str) -> None:
        """One line of log for a person."""
        ...

    def checkpoint(self, name: str) -> Path:
        """Where a method may keep how far it has come: a later attempt at this run finds it there, until one ends well.

        Args:
            name: of the file without ending; different for everything that one run may have to take up.
        """
        ...


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
