"""How many bits a ticket takes, with everything that its network is rebuilt from counted.

What is counted: the seed; masks; the numbers that fit distributions and architecture to the target, as ranges, gains,
steps of a grid and scales of rows; what stands for weights of the target in code; and, apart, tensors stored as they
are. Where a search chooses one of K numbers for each weight, or some first of them, each weight has the number of its
pattern, and the patterns that occur are counted once. Not counted is what a receiver of many tickets has once for all:
this package, and the plain settings of the architecture.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.measure.ticket import num_parameters
from lth_runner.networks.interface import Packed, parameter_shapes
from lth_runner.ticket.coder import code_bits, entropy_bits, histogram
from lth_runner.ticket.compact import by_place, mask_symbols
from lth_runner.ticket.materialise import target_architecture
from lth_runner.ticket.names import recipe
from lth_runner.ticket.source import CODE, FITTED, Drawn, Source, Stored
from lth_runner.ticket.ticket import Ticket

SEED = 64
NUMBER = 64  # bits of a fitted number


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that a ticket holds.

    Attributes:
        name: of the tensor; of the seed and of fitted numbers, what they are.
        kind: "seed", "numbers", "mask", "code" or "stored": of what is stored as it is, a mask over it included, and
            of nothing else, no bit stands for an approximated weight.
        raw: bits as they are, each entry in a whole number of them.
        coded: bits where an entropy coder takes what it makes smaller, its table of counts included.
        ideal: the entropy of the entries, given their counts: the coder's limit; n H2(k / n) of a mask keeping k of n.
    """

    name: str
    kind: str
    raw: int
    coded: int
    ideal: float


def parts(ticket: Ticket) -> Iterator[Part]:
    """Everything that the ticket's network is rebuilt from."""
    if ticket.drawn():
        yield Part(name="seed", kind="seed", raw=SEED, coded=SEED, ideal=SEED)
    if count := NUMBER * sum(1 for _ in _fitted(ticket)):
        yield Part(name="fitted numbers", kind="numbers", raw=count, coded=count, ideal=count)
    for name, mask in ticket.masks.items():
        source = ticket.weights[name]
        kind = "mask" if _stands_for_weights(source) else "stored"
        mirrored = isinstance(source, Drawn) and source.mirrored
        places = by_place(mask) if isinstance(source, Drawn) and source.by_place else None
        if places is None:
            yield _part(name, kind, mask_symbols(mask, mirrored), 2 if mirrored else 1)
        else:
            table = places.patterns.size
            yield Part(name=f"{name}, patterns", kind=kind, raw=table, coded=table, ideal=table)
            yield _part(name, kind, places.symbols, places.width)
    for name, source in ticket.weights.items():
        if isinstance(source, Drawn) and source.scales is not None:
            yield _part(f"{name}, scales", "numbers", source.scales.array, 16)
        if isinstance(source, Stored):
            width = ticket.architecture.entry_bits(name) if isinstance(ticket.architecture, Packed) else None
            kind = "code" if _stands_for_weights(source) else "stored"
            yield _part(name, kind, _kept(ticket, name, source), width or 8 * source.array.itemsize)


def bits(ticket: Ticket) -> dict[str, float]:
    """Bits of a ticket, in all and per weight.

    Returns:
        bits_per_weight, bits_per_weight_coded, bits_per_weight_ideal: of what stands for target weights, by the
        number of these (0 of a ticket that only stores); network_bits_per_weight and network_bits_per_weight_coded:
        of everything, by all parameters of the network; bits_seed, bits_numbers, bits_mask, bits_code and bits_stored,
        and the same with _coded; and weights_approximated.
    """
    found = list(parts(ticket))
    size = num_parameters(target_architecture(ticket))
    weights = size - _num_stored(ticket)
    own = [part for part in found if part.kind != "stored"]
    totals = {
        f"bits_{kind}{end}": sum(getattr(part, how) for part in found if part.kind == kind)
        for kind in ("seed", "numbers", "mask", "code", "stored")
        for end, how in (("", "raw"), ("_coded", "coded"))
    }
    return {
        "bits_per_weight": sum(part.raw for part in own) / max(1, weights),
        "bits_per_weight_coded": sum(part.coded for part in own) / max(1, weights),
        "bits_per_weight_ideal": sum(part.ideal for part in own) / max(1, weights),
        "network_bits_per_weight": sum(part.raw for part in found) / size,
        "network_bits_per_weight_coded": sum(part.coded for part in found) / size,
        "weights_approximated": weights,
        **totals,
    }


def _part(name: str, kind: str, entries: np.ndarray, width: int) -> Part:
    """Of entries of whole numbers below 256 what the coder makes of them; of others their width."""
    raw = width * entries.size
    if entries.dtype.itemsize > 1 or entries.dtype.kind == "f":
        return Part(name=name, kind=kind, raw=raw, coded=raw, ideal=raw)
    symbols = entries.ravel().view(np.uint8)
    counts = histogram(symbols, int(symbols.max(initial=1)) + 1)
    ideal = min(float(raw), entropy_bits(counts))
    return Part(name=name, kind=kind, raw=raw, coded=min(raw, code_bits(symbols, counts)), ideal=ideal)


def _stands_for_weights(source: Source) -> bool:
    """Whether it is drawn, or code: not a number that is stored as it is."""
    return isinstance(source, Drawn) or source.origin in (CODE, FITTED)


def _kept(ticket: Ticket, name: str, source: Stored) -> np.ndarray:
    """The entries that must be there: of a masked tensor with a number for each place those kept."""
    mask = ticket.masks.get(name)
    return source.array if mask is None or mask.shape != source.shape else source.array[mask.dense()]


def _num_stored(ticket: Ticket) -> int:
    """Parameters that are stored as they are; buffers are none."""
    shapes = parameter_shapes(ticket.architecture)
    return sum(
        math.prod(shapes[name])
        for name, source in ticket.weights.items()
        if name in shapes and not _stands_for_weights(source)
    )


def _fitted(ticket: Ticket) -> Iterator[float]:
    """Numbers that are no whole ones among the settings of distributions and of what stands for the target."""
    for source in ticket.random.values():
        yield from _floats(recipe(source.distribution))
        yield from _floats([source.scale] if source.scale != 1 else [])
    if target_architecture(ticket) is not ticket.architecture:
        yield from _floats(recipe(ticket.architecture))


def _floats(value: Any) -> Iterator[float]:
    """Of settings, without those of a target."""
    if isinstance(value, Mapping):
        value = [part for key, part in value.items() if key != "target"]
    if isinstance(value, list):
        yield from (number for each in value for number in _floats(each))
    elif isinstance(value, float):
        yield value
