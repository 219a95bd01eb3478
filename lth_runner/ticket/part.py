"""Files with a part of a ticket: tensors and their checksum, from which a later run puts the ticket together."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lth_runner.core.digest import checksum
from lth_runner.core.errors import DataError
from lth_runner.core.files import check_file, replace_file

FORMAT = "lth_runner.part/1"
AGAIN = "make this part again, with rerun=true"


def save_part(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes the part into the folder of its run, whole or not at all.

    Raises:
        DataError: the folder or the disk refuses it.
    """
    whole = {name: np.require(tensor, requirements="C") for name, tensor in tensors.items()}
    with replace_file(path) as temporary:
        temporary.write_bytes(save(whole, {"checksum": checksum(whole, _about(path))}))


def read_part(path: Path) -> dict[str, np.ndarray]:
    """The tensors in a part's file.

    Raises:
        DataError: no such file, no part, one of another run, or one that was altered since it was written.
    """
    check_file(path, AGAIN)
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            written = (file.metadata() or {}).get("checksum")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is no part of a ticket, or a damaged one ({error}): {AGAIN}") from error
    if written != checksum(tensors, _about(path)):
        raise DataError(f"{path} is not what its run wrote, it was damaged or altered: {AGAIN}")
    return tensors


def _about(path: Path) -> str:
    """What the checksum binds the tensors to: a run folder's name has a hash of all that makes its results."""
    return f"{FORMAT} {path.parent.name} "
