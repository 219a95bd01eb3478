"""The tensors of a ticket's file in fewer bytes: masks and indices entropy-coded, all else as it is."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lth_runner.core.errors import DataError
from lth_runner.ticket.coder import coded, decoded, histogram
from lth_runner.ticket.mask import Mask

Tensors = dict[str, np.ndarray]
Recipes = dict[str, dict[str, Any]]  # by tensor: the counts of its symbols, and shape and type where it is no mask
INDICES = {"|u1": np.uint8, "|i1": np.int8}  # types of tensors that are coded, as numpy writes them


def compact(tensors: Tensors, masks: Mapping[str, Mask]) -> tuple[Tensors, Recipes]:
    """The tensors with code in the place of those that it makes smaller, and what is needed to read it.

    Args:
        tensors: by name; of masks the packed bits.
        masks: by the name that they have among the tensors.
    """
    found, recipes = dict(tensors), Recipes()
    for name, array in tensors.items():
        if name not in masks and array.dtype.str not in INDICES:
            continue
        symbols = _symbols(array, masks.get(name))
        counts = histogram(symbols, 2 if name in masks else int(symbols.max(initial=0)) + 1)
        words = coded(symbols, counts)
        if words.nbytes < array.nbytes:
            found[name], recipes[name] = words, {"counts": counts}
            if name not in masks:
                recipes[name] |= {"shape": list(array.shape), "type": array.dtype.str}
    return found, recipes


def expanded(tensors: Tensors, recipes: Mapping[str, Mapping[str, Any]]) -> Tensors:
    """The tensors that `compact` was given.

    Raises:
        DataError: what is coded is not what its recipe says.
    """
    return tensors | {name: _expanded(tensors[name], recipe) for name, recipe in recipes.items()}


def _symbols(array: np.ndarray, mask: Mask | None) -> np.ndarray:
    """(N,) uint8."""
    return array.ravel().view(np.uint8) if mask is None else np.unpackbits(array, count=mask.size)


def _expanded(words: np.ndarray, recipe: Mapping[str, Any]) -> np.ndarray:
    symbols = decoded(words, recipe["counts"])
    if "shape" not in recipe:
        return np.packbits(symbols)
    if math.prod(recipe["shape"]) != symbols.size or recipe["type"] not in INDICES:
        raise DataError("its coded tensors do not have the shapes that it names: the file was altered")
    return symbols.view(INDICES[recipe["type"]]).reshape(recipe["shape"])
