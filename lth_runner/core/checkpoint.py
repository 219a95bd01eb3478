"""How far a training has come, on disk: tensors, the metrics of every finished epoch, and a checksum over all of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from lth_runner.core.digest import checksum
from lth_runner.core.files import replace_file


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that the rest of a training depends on.

    Attributes:
        tensors: by name.
        history: one line of metrics per finished epoch.
    """

    tensors: dict[str, np.ndarray]
    history: list[dict[str, float]]


class UnusableError(Exception):
    """A checkpoint is damaged, or another training's; the message says why."""


def save(path: Path, key: str, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint, whole or not at all.

    Args:
        key: everything that determines the training, as text.

    Raises:
        DataError: the folder cannot be written.
    """
    about = json.dumps({"key": key, "history": checkpoint.history}, allow_nan=False)
    metadata = {"about": about, "checksum": checksum(checkpoint.tensors, about)}
    with replace_file(path) as temporary:
        temporary.write_bytes(to_bytes(checkpoint.tensors, metadata))


def load(path: Path, key: str, say: Callable[[str], None]) -> Checkpoint | None:
    """The checkpoint of the training `key`; None where there is none, or none of use, which is logged through `say`."""
    try:
        return verified(path, key) if path.is_file() else None
    except UnusableError as reason:
        say(f"the checkpoint {path} is ignored and the training starts afresh ({reason})")
        return None


def verified(path: Path, key: str) -> Checkpoint:
    """The checkpoint of the training `key`.

    Raises:
        UnusableError: it cannot be read, is damaged, or belongs to another training.
    """
    try:
        tensors, metadata = read(path)
        if metadata["checksum"] != checksum(tensors, metadata["about"]):
            raise ValueError("its contents are not what was written")
        about = json.loads(metadata["about"])
        if about["key"] != key:
            raise ValueError("it belongs to a training with other settings")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UnusableError(f"{type(error).__name__}: {error}") from error
    return Checkpoint(tensors=tensors, history=about["history"])


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        OSError, SafetensorError: it cannot be read, or is none.
    """
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in sorted(file.keys())}, file.metadata() or {}
