"""The tensors of a ticket's file in fewer bytes: masks and indices entropy-coded, all else as it is."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from lth_runner.core.errors import DataError
from lth_runner.ticket.coder import coded, decoded, histogram
from lth_runner.ticket.mask import Mask

Tensors = dict[str, np.ndarray]
Recipes = dict[str, dict[str, Any]]  # by tensor: the counts of its symbols, and shape and type where it is no mask
PAIRS = 4  # symbols of a mask over mirrored numbers: neither kept, the negated one, the other, both
INDICES = {"|u1": np.uint8, "|i1": np.int8}  # types of tensors that are coded, as numpy writes them


def compact(tensors: Tensors, masks: Mapping[str, Mask], mirrored: Collection[str]) -> tuple[Tensors, Recipes]:
    """The tensors with code in the place of those that it makes smaller, and what is needed to read it.

    Args:
        tensors: by name; of masks the packed bits.
        masks: by the name that they have among the tensors.
        mirrored: the names of those over mirrored numbers, which are coded pair by pair.
    """
    found, recipes = dict(tensors), Recipes()
    for name, array in tensors.items():
        if name not in masks and array.dtype.str not in INDICES:
            continue
        symbols = mask_symbols(masks[name], name in mirrored) if name in masks else array.ravel().view(np.uint8)
        num_symbols = (PAIRS if name in mirrored else 2) if name in masks else int(symbols.max(initial=0)) + 1
        counts = histogram(symbols, num_symbols)
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


def mask_symbols(mask: Mask, mirrored: bool) -> np.ndarray:
    """(N,) uint8: the bits of a mask; or, over mirrored numbers, 2 where one is kept as it is and 1 where negated."""
    bits = np.unpackbits(mask.bits, count=mask.size)
    return 2 * bits[::2] + bits[1::2] if mirrored else bits


def _expanded(words: np.ndarray, recipe: Mapping[str, Any]) -> np.ndarray:
    symbols = decoded(words, recipe["counts"])
    if "shape" not in recipe:
        if len(recipe["counts"]) == PAIRS:
            symbols = np.stack((symbols >> 1, symbols & 1), axis=1)
        return np.packbits(symbols)
    if math.prod(recipe["shape"]) != symbols.size or recipe["type"] not in INDICES:
        raise DataError("its coded tensors do not have the shapes that it names: the file was altered")
    return symbols.view(INDICES[recipe["type"]]).reshape(recipe["shape"])
