"""A ticket: an architecture, a source for every tensor of it, and masks. What is random is never stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lth_runner.core.errors import DataError
from lth_runner.networks.interface import Architecture, state_shapes
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source, Stored

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a ticket was made of and for, as plain settings and checksums; nothing here is needed to rebuild it.

    Attributes:
        method: the method's settings, with its name as "@".
        data: the dataset's settings, with its name as "@", without where its files lie; None where there is no recipe.
        data_checksum: of the test inputs and labels that accuracies were measured on.
        target_checksum: of the tensors that the ticket approximates.
    """

    method: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    data_checksum: str | None = None
    target_checksum: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A network whose tensors are random and pruned, or stored; *strong* if its masked weights are drawn.

    Attributes:
        architecture: what the weights fill.
        seed: of the streams that draw the random tensors.
        weights: a source for every parameter and persistent buffer, by name. A drawn one may have one axis more than
            its parameter, which then is the sum of the numbers kept along it.
        masks: True = kept, over sources of these names; of the source's shape or one that broadcasts with it to the
            places there are: (out, 1) prunes neurons of (out, in), and (out, in, n) offers the numbers of (out, 1, n)
            to every weight of a row.
        start: of a winning ticket, the sources of its tensors where its training started; the same masks hold.
        facts: plain numbers worth keeping with the ticket (n, epsilon).
        claims: what was measured of it (accuracy, largest weight error), for others to check.
        origin: the settings and checksums behind the claims.

    Raises:
        DataError: names, shapes or masks are not those of the architecture.
    """

    architecture: Architecture
    seed: int
    weights: Mapping[str, Source]
    masks: Mapping[str, Mask]
    start: Mapping[str, Source] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    claims: Mapping[str, float] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or self.seed < 0:
            raise DataError(f"the ticket's seed must be a whole number of 0 or more, got {self.seed!r}")
        shapes = state_shapes(self.architecture)
        _check_names("tensors", self.weights.keys(), shapes.keys(), all_needed=True)
        _check_names("masks", self.masks.keys(), self.weights.keys(), all_needed=False)
        _check_names("starting tensors", self.start.keys(), self.weights.keys(), all_needed=False)
        for name, source in [*self.weights.items(), *self.start.items()]:
            self._check_shape(name, source, shapes[name])

    def places(self, name: str) -> Shape:
        """The shape of a tensor's places before pruning: of its source and its mask, broadcast."""
        source = self.weights[name]
        return np.broadcast_shapes(source.shape, self.masks[name].shape) if name in self.masks else source.shape

    @property
    def random(self) -> dict[str, Drawn]:
        """The sources that are drawn, by name."""
        return {name: source for name, source in self.weights.items() if isinstance(source, Drawn)}

    def drawn(self) -> int:
        """Random numbers really drawn, before pruning."""
        return sum(_size(source.drawn_shape) for source in self.random.values())

    def offered(self) -> int:
        """Prunable weights before pruning: shared random numbers count once for each place they can be used."""
        return sum(_size(self.places(name)) for name in self._prunable())

    def kept(self) -> int:
        """Prunable weights that the masks keep."""
        return sum(self.kept_of(name) for name in self._prunable())

    def kept_of(self, name: str) -> int:
        """Weights of one tensor that its mask keeps; without a mask all of them."""
        places = _size(self.places(name))
        mask = self.masks.get(name)
        return places if mask is None else mask.kept() * (places // mask.size if mask.size else 0)

    def stored(self) -> int:
        """Numbers that stand in the ticket as they are: of masked tensors those kept, if each place has its own.

        Scales of random tensors are such numbers too.
        """
        scales = sum(source.scales.array.size for source in self.random.values() if source.scales is not None)
        found = {name: source.shape for name, source in self.weights.items() if isinstance(source, Stored)}
        return scales + sum(
            self.kept_of(name) if shape == self.places(name) else _size(shape) for name, shape in found.items()
        )

    def _prunable(self) -> list[str]:
        return [name for name, source in self.weights.items() if isinstance(source, Drawn) or name in self.masks]

    def _check_shape(self, name: str, source: Source, shape: Shape) -> None:
        mask = self.masks.get(name)
        try:
            places = source.shape if mask is None else np.broadcast_shapes(source.shape, mask.shape)
        except ValueError:
            places = ()
        extra = isinstance(source, Drawn) and len(places) == len(shape) + 1
        if isinstance(source, Drawn) and source.mirrored and (mask is None or mask.shape[-1:] != source.shape[-1:]):
            raise DataError(f"the ticket's {name} holds every number twice, and no mask keeps one of them")
        if (places[:-1] if extra else places) != shape or (mask is not None and not mask.shape):
            masked = "" if mask is None else f" and its mask {mask.shape}"
            raise DataError(f"the ticket's {name} has shape {source.shape}{masked}, the architecture's {shape}")


def _check_names(what: str, found: Any, known: Any, all_needed: bool) -> None:
    unknown, missing = sorted(found - known), sorted(known - found) if all_needed else []
    if unknown or missing:
        words = [f"too many are {', '.join(unknown[:5])}"] if unknown else []
        words += [f"missing are {', '.join(missing[:5])}"] if missing else []
        raise DataError(f"the ticket's {what} are not those of its architecture: {'; '.join(words)}")


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))
