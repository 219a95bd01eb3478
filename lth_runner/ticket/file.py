"""`ticket.safetensors`: the recipe of the random network as metadata, the masks as packed bits, and nothing that runs.

Weights that a search left frozen, neither random nor pruned, are stored as they are.

A file is accepted only if it is, byte for byte, the file this module would write for what it holds, and if its digest
agrees: a flipped bit anywhere is noticed.
"""

import hashlib
import json
import re
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lth_runner.core.errors import DataError, LthError
from lth_runner.core.files import replace_file
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket

FORMAT = "lth_runner.ticket/1"
FROZEN = "frozen/"  # before the names of weights that are stored whole
TRUSTED = re.compile(r"lth_runner\.(distributions|networks)\.[\w.]+")  # what a file may name; anything else is refused


def save_ticket(ticket: Ticket, path: Path, claims: dict[str, float]) -> None:
    """Writes the ticket, whole or not at all.

    Args:
        claims: what was measured of this ticket (accuracy, largest weight error), for `read_ticket` to hand back.
    """
    content = _serialised(ticket, claims)
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def read_ticket(path: Path) -> tuple[Ticket, dict[str, float]]:
    """The ticket in a file, and the claims made of it.

    Raises:
        DataError: no such file, not a ticket, or damaged or altered since it was written.
    """
    try:
        content = Path(path).read_bytes()
        with safe_open(path, framework="np") as file:
            recipe = json.loads((file.metadata() or {})["ticket"])
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        ticket, claims = _ticket(recipe, packed), recipe["claims"]
        intact = _serialised(ticket, claims) == content
    except OSError as error:
        raise DataError(f"cannot read the ticket {path}: {error.strerror or error}") from error
    except (SafetensorError, LthError, KeyError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise DataError(f"{path} is no ticket, or a damaged one ({type(error).__name__}: {error})") from error
    if not intact:
        raise DataError(f"{path} was altered after it was written: its bytes are not those of the ticket it describes")
    return ticket, claims


def _serialised(ticket: Ticket, claims: dict[str, float]) -> bytes:
    packed = {name: mask.bits for name, mask in ticket.masks.items()}
    packed |= {FROZEN + name: np.ascontiguousarray(array, np.float32) for name, array in ticket.frozen.items()}
    recipe = {
        "format": FORMAT,
        "network": _recipe(ticket.network),
        "seed": ticket.seed,
        "tensors": {name: _tensor_recipe(tensor) for name, tensor in ticket.tensors.items()},
        "masks": {name: list(mask.shape) for name, mask in ticket.masks.items()},
        "facts": ticket.facts,
        "claims": claims,
    }
    recipe["digest"] = _digest(recipe, packed)
    return save(packed, {"ticket": json.dumps(recipe, sort_keys=True)})


def _digest(recipe: dict[str, Any], packed: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for name in sorted(packed):
        digest.update(packed[name].tobytes())
    return digest.hexdigest()


def _tensor_recipe(tensor: RandomTensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "distribution": _recipe(tensor.distribution), "path": list(tensor.path)}


def _recipe(part: Any) -> dict[str, Any]:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    nested = {name: _recipe(value) if is_dataclass(value) else value for name, value in values.items()}
    return {"_target_": f"{type(part).__module__}.{type(part).__qualname__}", **nested}


def _ticket(recipe: dict[str, Any], packed: dict[str, np.ndarray]) -> Ticket:
    if recipe["format"] != FORMAT:
        raise ValueError(f"format {recipe['format']} is not {FORMAT}")
    tensors = {
        name: RandomTensor(
            shape=tuple(tensor["shape"]), distribution=_built(tensor["distribution"]), path=tuple(tensor["path"])
        )
        for name, tensor in recipe["tensors"].items()
    }
    masks = {name: Mask(tuple(shape), packed[name]) for name, shape in recipe["masks"].items()}
    return Ticket(
        network=_built(recipe["network"]),
        seed=recipe["seed"],
        tensors=tensors,
        masks=masks,
        facts=recipe["facts"],
        frozen={name.removeprefix(FROZEN): array for name, array in packed.items() if name.startswith(FROZEN)},
    )


def _built(recipe: dict[str, Any]) -> Any:
    trusted = _trusted_class(recipe["_target_"])
    values = {key: value for key, value in recipe.items() if key != "_target_"}
    return trusted(**{key: _built(value) if _is_recipe(value) else value for key, value in values.items()})


def _is_recipe(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _trusted_class(target: str) -> Any:
    """The dataclass that a ticket names; files from elsewhere may name only this package's networks and laws."""
    if not TRUSTED.fullmatch(target):
        raise ValueError(f"{target} is not a network or distribution of this package")
    module, _, name = target.rpartition(".")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and is_dataclass(found) and fields(found) is not None):
        raise ValueError(f"{target} is not a network or distribution of this package")
    return found
