"""Reading tensors out of files that others wrote, without running what is in them."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lth_runner.core.errors import DataError
from lth_runner.targets.state import arrays

ORIGINAL, MASK = "_orig", "_mask"  # how torch.nn.utils.prune names a pruned parameter and its mask
WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts nest the state dict


def read_state_dict(path: str) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors file, or of a state dict written by `torch.save`; floating ones in float64.

    A state dict keeps its order. A .safetensors file has none of its own, so its names are sorted, numbers by value:
    fc2 before fc10.

    Raises:
        DataError: there is no such file, it cannot be read, it holds no tensors, or NaN or infinite ones.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"there is no file {file}: set target.path to a state dict (.pt) or a .safetensors file")
    tensors = _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    found = arrays(tensors)
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise DataError(f"{file}: {name} has NaN or infinite values, so it cannot be a target; train it again")
    return found


def _read_safetensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{file} cannot be read as .safetensors ({error}): it is damaged or something else") from error
    return _unpruned(_tensors({name: tensors[name] for name in sorted(tensors, key=_by_number)}, file), file)


def _read_torch(file: Path) -> dict[str, torch.Tensor]:
    remedy = "save it with torch.save(model.state_dict(), FILE)"
    try:
        with warnings.catch_warnings():  # of pickles that it will refuse anyway
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{file} cannot be read as a state dict: it is damaged, or holds more than tensors, which is never "
            f"unpickled; {remedy}"
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{file} cannot be read as a state dict ({type(error).__name__}); {remedy}") from error
    while isinstance(content, Mapping):
        inner = _inner(content, file)
        if inner is None:
            return _unpruned(_tensors(content, file), file)
        content = inner
    raise DataError(f"{file} holds a {type(content).__name__}, not a state dict: {remedy}")


def _inner(content: Mapping[Any, Any], file: Path) -> Mapping[Any, Any] | None:
    """The state dict that a training script has put into a larger one, under a usual name or as the only one there."""
    for key in WRAPPERS:
        if isinstance(content.get(key), Mapping):
            return content[key]
    found = {str(key): value for key, value in content.items() if isinstance(value, Mapping) and _holds_tensors(value)}
    if len(found) > 1:
        raise DataError(
            f"{file} holds several state dicts ({', '.join(found)}): save the one that is meant with "
            f"torch.save(torch.load(FILE)['{next(iter(found))}'], OTHER)"
        )
    return next(iter(found.values()), None)


def _holds_tensors(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(value, torch.Tensor) for value in content.values())


def _unpruned(tensors: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    """The weights in use, where `torch.nn.utils.prune` has kept a mask beside each: weight = weight_orig * weight_mask.

    Raises:
        DataError: a mask is of another shape than its weight.
    """
    used: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        whole = name.removesuffix(MASK)
        if name.endswith(ORIGINAL) and (mask := tensors.get(name.removesuffix(ORIGINAL) + MASK)) is not None:
            if mask.shape != tensor.shape:
                raise DataError(f"{file}: {name} and its mask differ in shape; apply torch.nn.utils.prune.remove first")
            used[name.removesuffix(ORIGINAL)] = tensor * mask
        elif not (name.endswith(MASK) and whole + ORIGINAL in tensors):
            used[name] = tensor
    return used


def _tensors(content: Mapping[Any, Any], file: Path) -> dict[str, torch.Tensor]:
    """The content, if it is names and tensors and not nothing."""
    strangers = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if strangers or not content:
        found = f"entries that are no tensors ({', '.join(strangers[:3])})" if strangers else "nothing"
        raise DataError(f"{file} holds {found}: save it with torch.save(model.state_dict(), FILE)")
    return {str(name): value for name, value in content.items()}


def _by_number(name: str) -> list[tuple[int, int | str]]:
    """Sorts runs of digits by value and before letters."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]
