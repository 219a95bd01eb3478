"""A trained target on disk: its tensors, what determined them, and a checksum that tells damage."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save as to_bytes

from lth_runner.core.files import replace_file
from lth_runner.training.checkpoint import checksum, read


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A trained network's tensors, as trained, and its accuracy on the test set (fraction)."""

    tensors: dict[str, np.ndarray]
    test_accuracy: float


def save(path: Path, key: str, target: Kept) -> None:
    """Writes the target, whole or not at all.

    Raises:
        DataError: the folder cannot be written.
    """
    metadata = {"key": key, "checksum": checksum(target.tensors), "test_accuracy": repr(target.test_accuracy)}
    with replace_file(path) as temporary:
        temporary.write_bytes(to_bytes(target.tensors, metadata))


def load(path: Path, key: str, say: Callable[[str], None]) -> Kept | None:
    """The target kept under `key`; None where there is none, or where the file is damaged, which `say` is told."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = read(path)
        if metadata["key"] == key and metadata["checksum"] == checksum(tensors):
            return Kept(tensors=tensors, test_accuracy=float(metadata["test_accuracy"]))
        reason = "its contents are not what was written"
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
    say(f"target: the trained network {path} is damaged ({reason}), so it is trained again")
    return None
