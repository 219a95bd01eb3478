"""From a ticket to its network: every random number is drawn once, and all measures look at the same ones."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Bars, no_bars
from lth_runner.networks.attention import unpack_
from lth_runner.networks.interface import (
    Architecture,
    Deviation,
    Expansion,
    NearlyLinear,
    Rewritten,
    filled,
    parameter_shapes,
    skeleton,
)
from lth_runner.ticket.masked_tensor import MaskedTensor
from lth_runner.ticket.source import Drawn, Source, Stored
from lth_runner.ticket.ticket import Ticket

LARGE = 100_000_000  # numbers that take more than a second to draw: a bar is worth its lines


def materialise(ticket: Ticket, at: str = "end", bars: Bars = no_bars) -> "Materialised":
    """The ticket's network, drawn when it is first asked for.

    Args:
        at: "end", or "start": a winning ticket with the tensors with which its training started.
        bars: where to show how far the drawing of a large ticket has come.

    Raises:
        ConfigError: the ticket has no other start.
    """
    checks.choice("at", at, ("end", "start"))
    if at == "end":
        return Materialised(ticket, bars)
    if not ticket.start:
        raise ConfigError("this ticket was not trained from a start of its own: leave out at=start")
    return Materialised(replace(ticket, weights={**ticket.weights, **ticket.start}), bars)


class Materialised:
    """The pruned network of a ticket, rebuilt from the ticket alone."""

    def __init__(self, ticket: Ticket, bars: Bars = no_bars) -> None:
        self.ticket = ticket
        self._bars = bars if ticket.drawn() >= LARGE else no_bars

    def module(self, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        """The network itself, not trainable and in evaluation mode; each call gives one of its own."""
        if isinstance(self.ticket.architecture, Expansion):
            return copy.deepcopy(self._assembled).to(dtype)
        return filled(self.ticket.architecture, self._arrays, dtype)

    @cached_property
    def readings(self) -> dict[str, np.ndarray]:
        """What stands for each weight in the network, float64, by the names of the architecture or of its target.

        Of an architecture that stands for another one, its target, (readings, *shape): see `Expansion`; then without
        what it does not approximate.
        """
        if isinstance(self.ticket.architecture, Expansion):
            return self.ticket.architecture.readings(self._assembled)
        return {name: self._arrays[name] for name in parameter_shapes(self.ticket.architecture)}

    @cached_property
    def deviations(self) -> dict[str, Deviation]:
        """By layer of the target, how far its output may be from what the readings give; see `NearlyLinear`."""
        found = self.ticket.architecture
        return found.deviations(self._assembled) if isinstance(found, NearlyLinear) else {}

    @property
    def approximated(self) -> dict[str, np.ndarray]:
        """The readings of what is random: what is stored approximates nothing."""
        if isinstance(self.ticket.architecture, Expansion):
            return self.readings
        return {name: found for name, found in self.readings.items() if isinstance(self.ticket.weights[name], Drawn)}

    @cached_property
    def _assembled(self) -> torch.nn.Module:
        ticket = self.ticket
        assert isinstance(ticket.architecture, Expansion), "only those are assembled"
        masked = {name: tensor for name in ticket.weights if (tensor := masked_tensor(ticket, name)) is not None}
        stored = {name: array(ticket, name) for name in ticket.weights if name not in masked}
        return ticket.architecture.assembled(masked, stored)

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        shapes = parameter_shapes(self.ticket.architecture)
        found = {}
        with self._bars("random numbers drawn again", self.ticket.drawn()) as bar:
            for name, source in self.ticket.weights.items():
                found[name] = array(self.ticket, name, len(shapes.get(name, ())))
                bar.advance(int(np.prod(source.drawn_shape)) if isinstance(source, Drawn) else 0)
        return found


def target_architecture(ticket: Ticket) -> Architecture:
    """The architecture whose weights the ticket approximates, or its own."""
    found = ticket.architecture
    return found.target if isinstance(found, Expansion) else found


def original_architecture(ticket: Ticket) -> Architecture:
    """The architecture that the ticket was asked for: before batch norms were folded, or layers expanded."""
    found = target_architecture(ticket)
    while isinstance(found, Rewritten):
        found = found.original
    return found


def approximated_by(ticket: Ticket, target: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The target's tensors under the names of the readings: with batch norms folded where the ticket folds them."""
    return _folded(target_architecture(ticket), target)


def _folded(architecture: Architecture, target: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return (
        architecture.folded(_folded(architecture.original, target)) if isinstance(architecture, Rewritten) else target
    )


def target_names(ticket: Ticket) -> Mapping[str, str]:
    """The target's names of tensors that have another one in the ticket, by the ticket's: those of attentions."""
    found = ticket.architecture
    return unpack_(skeleton(found.target))[1] if isinstance(found, Expansion) else {}


def masked_tensor(ticket: Ticket, name: str) -> MaskedTensor | None:
    """A random tensor and its mask; None where it is stored, or random and whole."""
    source = ticket.weights[name]
    if not isinstance(source, Drawn) or name not in ticket.masks:
        return None
    return MaskedTensor(tensor=source, mask=ticket.masks[name], seed=ticket.seed)


def array(ticket: Ticket, name: str, axes: int | None = None) -> np.ndarray:
    """The tensor that the network computes with: masked, and float64 but for whole numbers.

    Args:
        axes: of the parameter: a source with one more offers several numbers for each place, and those kept are added.
    """
    source = ticket.weights[name]
    masked = masked_tensor(ticket, name)
    if masked is None:
        return _whole(ticket, name, source)
    summed = axes is not None and len(masked.shape) > axes
    found = np.empty(masked.shape[:-1] if summed else masked.shape)
    for rows, block in masked.blocks():
        found[rows] = block.sum(axis=-1) if summed else block
    return found


def _whole(ticket: Ticket, name: str, source: Source) -> np.ndarray:
    if isinstance(source, Stored):
        found = source.array.astype(np.float64) if source.array.dtype.kind == "f" else source.array
        return found if name not in ticket.masks else found * ticket.masks[name].dense()
    drawn = source.draw(ticket.seed)
    return drawn / 2 if source.centred else drawn
