"""The vocabulary of a run: what a method is given, and what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch

from lth_runner.core.errors import ConfigError, lacks_memory
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset, named, select
from lth_runner.networks.interface import Architecture, num_parameters, state_shapes
from lth_runner.resources import Resources, machine_memory
from lth_runner.ticket.ticket import Ticket

FLOAT32 = 4  # bytes of a number
IMAGES = ((1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 224, 224))  # channels, height, width of common datasets
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
        parts: files with parts of the ticket that other runs have made; see `InParts`.
    """

    network: Architecture | None
    target: dict[str, np.ndarray] | None
    data: Dataset | None
    streams: Streams
    device: str
    parts: Sequence[Path] = ()

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
class Offers(Protocol):
    """A method that can say beforehand how many random numbers its masks can choose from."""

    def offered(self, network: Architecture) -> int:
        """Of a ticket of this network: for inputs of both signs, and with batch norms not yet folded."""
        ...


@runtime_checkable
class FindsEach(Protocol):
    """A method that finds tickets of several densities in one go, of the same random network."""

    def together(self, device: str) -> bool:
        """Whether several at once take less time on this device than one after the other."""
        ...

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density; see `Method.find`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Share:
    """One of several parts of about equal size.

    Attributes:
        index: which of them, from 0.
        count: how many there are.
    """

    index: int
    count: int


@runtime_checkable
class InParts(Method, Protocol):
    """A method whose ticket can be made in parts, by one run each; `find` puts it together where a problem has them."""

    def stages(self, network: Architecture) -> int:
        """How many times something has to be made before the next can be: 1 where no part waits for another."""
        ...

    def make(self, problem: Problem, recorder: Recorder, share: Share) -> dict[str, np.ndarray]:
        """One share of a stage: of the one after those whose parts, all of them, the problem has.

        Returns:
            tensors by name, from which the part's file is made.
        """
        ...


@runtime_checkable
class Takes(Protocol):
    """A method that puts tensors of the target into its ticket as they are."""

    def taken(self, network: Architecture) -> Mapping[str, tuple[int, ...]]:
        """The shapes of these tensors by their names in the network.

        Raises:
            ConfigError: a layer that is to be taken is not there.
        """
        ...


@runtime_checkable
class Checked(Protocol):
    """A target or a method that can say before a run starts, and a target is trained, what it will refuse."""

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses a network or a dataset that it would refuse at its work.

        Raises:
            LthError: as it would then.
        """
        ...


def check_taken(method: Any, network: Architecture, target: Architecture | None) -> None:
    """Refuses a method that takes tensors from a target which has none of that name and shape.

    Args:
        target: the architecture of the target; None where there is no target.

    Raises:
        ConfigError: it names the first of them.
    """
    taken = method.taken(network) if isinstance(method, Takes) else {}
    known = {} if target is None or not taken else state_shapes(target)
    for name, shape in taken.items():
        if known.get(name) != shape:
            raise ConfigError(not_taken(name))


def not_taken(name: str) -> str:
    """The refusal of a tensor that cannot be taken from the target."""
    return f"{name} is to be frozen and no target has it in this shape: add target=trained"


def check_fit(network: Architecture, data: Dataset) -> None:
    """Refuses a dataset whose inputs the network does not take, or whose labels its outputs cannot have.

    Raises:
        ConfigError: it says what was offered and what to set.
    """
    inputs = select(data.test_inputs, slice(1))
    try:
        _check_memory(network)
        outputs = network.module().to(named(inputs)[0][1].device).eval()(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError, MemoryError) as error:
        if lacks_memory(error):
            raise ConfigError(
                f"the network has {_size(network)}, and there is not enough memory for them: choose a smaller network, "
                "or a machine with more memory"
            ) from error
        reason = str(error).splitlines()[0]
        if isinstance(inputs, dict):
            raise ConfigError(
                f"the network does not take {', '.join(sorted(inputs))} ({reason}): name "
                "the tensors of the data's file as the module's forward names its arguments"
            ) from error
        raise ConfigError(
            f"the network does not take images of shape {tuple(inputs.shape[1:])}: "
            + (
                f"set network.inputs={inputs[0].numel()}, or choose another network"
                if _flattens(network)
                else _remedy(network, inputs, reason)
            )
        ) from error
    for labels in (data.train_labels, data.test_labels):
        if labels is not None:
            _check_labels(labels, outputs)


def _check_memory(network: Architecture) -> None:
    """Counts first: a network of many layers is built one by one, until the system kills the run or its neighbours.

    Raises:
        MemoryError: the weights take more than the machine has.
    """
    if FLOAT32 * num_parameters(network) > machine_memory():
        raise MemoryError


def _size(network: Architecture) -> str:
    try:
        size = num_parameters(network)
    except (RuntimeError, TypeError):
        return "more weights than torch can count"
    return f"{size:,} weights, {FLOAT32 * size / 2**30:,.1f} GiB in float32"


def _check_labels(labels: torch.Tensor, outputs: torch.Tensor) -> None:
    if outputs.ndim != 2:
        raise ConfigError(
            f"the network gives outputs of shape {tuple(outputs.shape)} for one sample, and labels need one output per "
            "class: give no labels, or a network of outputs (N, classes)"
        )
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= outputs.shape[1]:
        raise ConfigError(
            f"the labels go from {least} to {most} and the network has {outputs.shape[1]} outputs: choose a network "
            "with one output per class"
        )


def _flattens(network: Architecture) -> bool:
    """Whether the network has a setting for the numbers in an image."""
    return is_dataclass(network) and "inputs" in {field.name for field in fields(network)}


def _remedy(network: Architecture, inputs: torch.Tensor, reason: str) -> str:
    """What to do about images that do not fit a network of a fixed size."""
    if inputs.ndim > 2 and _takes(network, (inputs[0].numel(),)):
        return f"it takes {inputs[0].numel()} numbers in a row, so put torch.nn.Flatten() before its first layer"
    for shape in IMAGES:
        if _takes(network, shape):
            return f"it takes {' x '.join(map(str, shape))}, so choose data of that size, or another network"
    return f"choose another network, or its settings for such images ({reason})"


def _takes(network: Architecture, shape: tuple[int, ...]) -> bool:
    """Whether inputs of this shape have one output per class; tried without values."""
    try:
        with torch.device("meta"):
            return network.module().eval()(torch.empty(1, *shape)).ndim == 2
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
