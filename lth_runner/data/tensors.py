"""Tensors by name out of a file that somebody brings: .npz or .safetensors, neither of which can run anything."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lth_runner.core.errors import DataError

SUFFIXES = (".npz", ".safetensors")


def read_tensors(path: str, setting: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """The file's path and its tensors, on the CPU.

    Args:
        setting: the key of the config that names the file.

    Raises:
        DataError: there is no such file, it is of another kind or damaged, it is empty, or a number is not finite.
    """
    file = Path(path).expanduser()
    if file.suffix not in SUFFIXES:
        raise DataError(f"{file} is neither .npz nor .safetensors: set {setting} to a file of one of these kinds")
    if not file.is_file():
        raise DataError(f"there is no file {file}: set {setting} to an existing one")
    try:
        tensors = load_file(file) if file.suffix == ".safetensors" else _read_npz(file)
    except (OSError, EOFError, ValueError, TypeError, SafetensorError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{file} cannot be read ({error}): it is damaged, or holds more than arrays of numbers"
        ) from error
    for name, tensor in tensors.items():
        if not tensor.ndim or not tensor.numel():
            raise DataError(f"{file}: {name} has the shape {tuple(tensor.shape)}: give it at least one sample")
        if tensor.is_complex() or (tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all())):
            raise DataError(f"{file}: {name} has NaN, infinite or complex values: replace them")
    if not tensors:
        raise DataError(f"{file} holds no tensors: save them under their names")
    return file, tensors


def class_labels(labels: torch.Tensor, count: int, file: Path, name: str) -> torch.Tensor:
    """Labels as int64.

    Raises:
        DataError: they are not one integer of 0 or more for each of `count` samples.
    """
    whole = not (labels.is_floating_point() or labels.dtype == torch.bool)
    if labels.shape != (count,) or not whole:
        kind = str(labels.dtype).removeprefix("torch.")
        raise DataError(
            f"{file}: {name} is {kind} of shape {tuple(labels.shape)}, not one integer for each of {count} samples: "
            "save it so"
        )
    found = labels.to(torch.int64)
    if int(found.min()) < 0:
        raise DataError(f"{file}: {name} has the label {int(found.min())}, and labels start at 0: correct it")
    return found


def _read_npz(file: Path) -> dict[str, torch.Tensor]:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {name: torch.from_numpy(np.ascontiguousarray(archive[name])) for name in archive.files}
