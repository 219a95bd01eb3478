"""`ticket.safetensors`: the recipe of a ticket as metadata, masks as packed bits, stored tensors as they are.

Where it is asked for, masks and indices are entropy-coded; a file says by its format whether they are.

Nothing in a file runs. It is accepted only if its digest agrees, so that a flipped bit anywhere is noticed, if it holds
the tensors of its recipe and no others, and if these make a ticket. Equal tickets give equal bytes: no times inside.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lth_runner.core.errors import DataError, LthError
from lth_runner.core.files import check_file, replace_file
from lth_runner.networks.trusted import check_trust
from lth_runner.ticket import names
from lth_runner.ticket.compact import Tensors, compact, expanded
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.plain import check_dataset, check_drawn, check_numbers
from lth_runner.ticket.source import Drawn, Scales, Source, Stored
from lth_runner.ticket.ticket import Origin, Ticket

FORMAT = "lth_runner.ticket/2"
CODED_FORMAT = "lth_runner.ticket/3"  # the same, with some tensors as code
OLD_FORMAT = "lth_runner.ticket/1"
AGAIN = "name the ticket.safetensors of a run folder, or make it again"
MASK, STORED, START = "mask/", "stored/", "start/"  # before the names of a file's tensors


def save_ticket(ticket: Ticket, path: Path | str, coded: bool = False) -> None:
    """Writes the ticket, whole or not at all.

    Args:
        coded: whether masks and indices are entropy-coded: fewer bytes, read back alike.

    Raises:
        DataError: the folder or the disk refuses it.
    """
    content = to_bytes(ticket, coded)
    with replace_file(Path(path)) as temporary:
        temporary.write_bytes(content)


def to_bytes(ticket: Ticket, coded: bool = False) -> bytes:
    """The file's content; see `save_ticket`."""
    tensors, recipe = _tensors(ticket), _recipe(ticket)
    if coded:
        mirrored = {MASK + name for name, source in ticket.random.items() if source.mirrored}
        by_place = {MASK + name for name, source in ticket.random.items() if source.by_place}
        masks = {MASK + name: mask for name, mask in ticket.masks.items()}
        tensors, recipes = compact(tensors, masks, mirrored, by_place)
        recipe |= {"format": CODED_FORMAT, "coded": recipes}
    text = json.dumps(recipe, sort_keys=True, allow_nan=False)
    # one entry alone: safetensors writes several in an order that changes from run to run
    return save(tensors, {"ticket": f"{_digest(text, tensors)}\n{text}"})


def read_ticket(path: Path | str, trust: Collection[str] = (), module: torch.nn.Module | None = None) -> Ticket:
    """The ticket in a file.

    Args:
        trust: top-level packages outside this one whose architectures and distributions it may name.
        module: what stands for the module in memory that the ticket was made from, if it was.

    Raises:
        ConfigError: `trust` names no packages.
        DataError: no such file, not a ticket, damaged or altered since it was written, or naming code not trusted.
    """
    check_trust(trust)  # even where nothing needs it
    check_file(path, "name the ticket.safetensors of a run folder")
    try:
        with safe_open(path, framework="np") as file:
            entry = (file.metadata() or {})["ticket"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        _refuse_old(entry, path)
        digest, _, text = entry.partition("\n")
        if digest != _digest(text, tensors):
            raise DataError(f"its contents are not what was written: it was damaged or altered; {AGAIN}")
        return _ticket(json.loads(text), tensors, trust, module)
    except OSError as error:
        raise DataError(f"cannot read the ticket {path}: {error.strerror or error}") from error
    except LthError as error:
        raise DataError(f"{path}: {error}") from error
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is no ticket, or a damaged one ({type(error).__name__}: {error}); {AGAIN}") from error


def needed_trust(ticket: Ticket) -> set[str]:
    """Packages that a reader of the ticket's file must trust; empty for what this package and torchvision build.

    The method's settings stand in the file too, but nobody builds it again.
    """
    recipe = _recipe(ticket)
    return names.foreign([recipe["architecture"], recipe["weights"], recipe["start"], recipe["origin"]["data"]])


def _recipe(ticket: Ticket) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "architecture": names.recipe(ticket.architecture),
        "seed": ticket.seed,
        "weights": {name: _source(source) for name, source in ticket.weights.items()},
        "start": {name: _source(source) for name, source in ticket.start.items()},
        "masks": {name: list(mask.shape) for name, mask in ticket.masks.items()},
        "facts": dict(ticket.facts),
        "claims": dict(ticket.claims),
        "origin": {
            "method": ticket.origin.method,
            "data": ticket.origin.data,
            "data_checksum": ticket.origin.data_checksum,
            "target_checksum": ticket.origin.target_checksum,
        },
    }


def _source(source: Source) -> dict[str, Any]:
    if isinstance(source, Stored):
        return {"stored": source.origin}
    law = names.recipe(source.distribution)
    found = {"shape": list(source.shape), "distribution": law, "stream": list(source.stream), "scale": source.scale}
    marks = {"centred": source.centred, "mirrored": source.mirrored, "scaled": source.scales is not None}
    marks |= {"by_place": source.by_place}
    return found | {name: True for name, holds in marks.items() if holds}


def _tensors(ticket: Ticket) -> Tensors:
    tensors = {MASK + name: mask.bits for name, mask in ticket.masks.items()}
    for prefix, sources in ((STORED, ticket.weights), (START, ticket.start)):
        arrays = {name: array for name, source in sources.items() if (array := _numbers(source)) is not None}
        tensors |= {prefix + name: np.require(array, requirements="C") for name, array in arrays.items()}
    return tensors


def _numbers(source: Source) -> np.ndarray | None:
    """What of it stands in the file: a stored tensor, or the scales of a random one."""
    if isinstance(source, Stored):
        return source.array
    return None if source.scales is None else source.scales.array


def _digest(text: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.flags.c_contiguous else array.tobytes())
    return digest.hexdigest()


def _refuse_old(entry: str, path: Path | str) -> None:
    if entry.startswith("{") and json.loads(entry).get("format") == OLD_FORMAT:
        raise DataError(
            f"it is a ticket of format 1, which this version does not read: make it again with the command in "
            f"{Path(path).parent / 'environment.json'}, or read it with lth_runner 0.1"
        )


def _ticket(recipe: dict[str, Any], tensors: Tensors, trust: Collection[str], module: torch.nn.Module | None) -> Ticket:
    if recipe["format"] not in (FORMAT, CODED_FORMAT):
        raise DataError(
            f"it is of format {recipe['format']!r} and this version reads {FORMAT}: read it with the version of "
            "lth_runner that made it"
        )
    expected = {MASK + name for name in recipe["masks"]}
    for prefix, key in ((STORED, "weights"), (START, "start")):
        expected |= {prefix + name for name, source in recipe[key].items() if _has_numbers(source)}
    if expected != tensors.keys():
        raise DataError(
            f"it holds tensors that its recipe does not name, or lacks some: {_few(expected ^ tensors.keys())}"
        )
    if recipe["format"] == CODED_FORMAT:
        tensors = expanded(tensors, recipe["coded"])
    check_dataset(recipe["origin"]["data"])
    for what in ("claims", "facts"):
        check_numbers(what, recipe[what])
    return Ticket(
        architecture=names.built(recipe["architecture"], trust, module),
        seed=recipe["seed"],
        weights=dict(_sources(recipe["weights"], STORED, tensors, trust)),
        start=dict(_sources(recipe["start"], START, tensors, trust)),
        masks={name: Mask(tuple(shape), tensors[MASK + name]) for name, shape in recipe["masks"].items()},
        facts=recipe["facts"],
        claims=recipe["claims"],
        origin=Origin(**recipe["origin"]),
    )


def _sources(
    recipes: Mapping[str, Any], prefix: str, tensors: Tensors, trust: Collection[str]
) -> Iterator[tuple[str, Source]]:
    for name, recipe in recipes.items():
        if "stored" in recipe:
            yield name, Stored(array=tensors[prefix + name], origin=recipe["stored"])
        else:
            check_drawn(name, recipe)
            yield (
                name,
                Drawn(
                    shape=tuple(recipe["shape"]),
                    distribution=names.built(recipe["distribution"], trust),
                    stream=tuple(recipe["stream"]),
                    scale=recipe["scale"],
                    centred=recipe.get("centred", False),
                    mirrored=recipe.get("mirrored", False),
                    scales=Scales(array=tensors[prefix + name]) if _has_numbers(recipe) else None,
                    by_place=recipe.get("by_place", False),
                ),
            )


def _has_numbers(recipe: Mapping[str, Any]) -> bool:
    return "stored" in recipe or recipe.get("scaled", False)


def _few(words: set[str]) -> str:
    return ", ".join(sorted(words)[:5])
