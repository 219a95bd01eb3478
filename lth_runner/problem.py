"""The vocabulary of a run: what a method is given, and what it finds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset, named, select
from lth_runner.networks.interface import Architecture
from lth_runner.resources import Resources
from lth_runner.ticket.ticket import Ticket

NEEDS = {
    "network": "a network and there is none: add network=fc",
    "target": "a target network to approximate and there is none: add target=trained (in Python: target=MODULE)",
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
        device: "cpu", "cuda", "cuda:1" or "mps".
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
    on_gpu: ClassVar[bool]  # whether it computes on a GPU where there is one; its job then asks for that

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """Finds the ticket: a network and its masks.

        Raises:
            ConfigError: this problem is not one the method can take.
        """
        ...


def device(asked: str) -> str:
    """The device that was asked for: "cpu", "cuda", "cuda:1", "mps"; with "auto", a GPU if there is one.

    Raises:
        ConfigError: no such device, or none here.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not isinstance(asked, str) or not re.fullmatch(r"cpu|cuda(:\d+)?|mps", asked):
        raise ConfigError(f"device must be one of auto, cpu, cuda, mps, or a certain one as cuda:1, got {asked!r}")
    kind, _, index = asked.partition(":")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(index or 0) >= count:
        such = "such " if index else ""
        raise ConfigError(f"device={asked} was asked for and no {such}{kind.upper()} device is there: use device=cpu")
    return asked


def check_fit(network: Architecture, data: Dataset) -> None:
    """Refuses a dataset whose inputs the network does not take.

    Raises:
        ConfigError: it says what was offered and what to set.
    """
    inputs = select(data.test_inputs, slice(1))
    try:
        network.module().to(named(inputs)[0][1].device).eval()(inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(inputs, dict):
            raise ConfigError(
                f"the network does not take {', '.join(sorted(inputs))} ({reason}): name "
                "the tensors of the data's file as the module's forward names its arguments"
            ) from error
        raise ConfigError(
            f"the network does not take images of shape {tuple(inputs.shape[1:])}: "
            f"set network.inputs={inputs[0].numel()}, or choose another network"
        ) from error
