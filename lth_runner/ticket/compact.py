"""The tensors of a ticket's file in fewer bytes: masks and indices entropy-coded, all else as it is."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core.errors import DataError
from lth_runner.ticket.coder import coded, decoded, histogram
from lth_runner.ticket.mask import Mask

Tensors = dict[str, np.ndarray]
# By tensor: the counts of its symbols; of a mask that is coded place by place their patterns; of what is no mask its
# shape and its type.
Recipes = dict[str, dict[str, Any]]
PAIRS = 4  # symbols of a mask over mirrored numbers: neither kept, the negated one, the other, both
MOST = 256  # patterns that a byte tells apart
INDICES = {"|u1": np.uint8, "|i1": np.int8}  # types of tensors that are coded, as numpy writes them


@dataclass(frozen=True, kw_only=True)
class Places:
    """A mask over several numbers for each place, told by the few patterns in which a place keeps them.

    Attributes:
        patterns: (P, K) bool, those that occur.
        symbols: (places,) uint8, which of them each place has.
    """

    patterns: np.ndarray
    symbols: np.ndarray

    @property
    def width(self) -> int:
        """Bits that are enough for each symbol."""
        return (len(self.patterns) - 1).bit_length()


def compact(
    tensors: Tensors, masks: Mapping[str, Mask], mirrored: Collection[str], grouped: Collection[str]
) -> tuple[Tensors, Recipes]:
    """The tensors with code in the place of those that it makes smaller, and what is needed to read it.

    Args:
        tensors: by name; of masks the packed bits.
        masks: by the name that they have among the tensors.
        mirrored: the names of those over mirrored numbers, which are coded pair by pair.
        grouped: of those that are coded place by place if few patterns occur; see `Drawn.by_place`.
    """
    found, recipes = dict(tensors), Recipes()
    for name, array in tensors.items():
        if name in masks:
            places = by_place(masks[name]) if name in grouped else None
            symbols, counts, recipe = _mask_code(masks[name], name in mirrored, places)
        elif array.dtype.str in INDICES:
            symbols = array.ravel().view(np.uint8)
            counts = histogram(symbols, int(symbols.max(initial=0)) + 1)
            recipe = {"counts": counts, "shape": list(array.shape), "type": array.dtype.str}
        else:
            continue
        words = coded(symbols, counts)
        if words.nbytes < array.nbytes:
            found[name], recipes[name] = words, recipe
    return found, recipes


def by_place(mask: Mask) -> Places | None:
    """The mask place by place; None where more patterns occur than are meant.

    K + 1 patterns are enough where one of K numbers is kept, or one at most, or those up to some number.
    """
    rows = np.unpackbits(mask.bits, count=mask.size).reshape(-1, mask.shape[-1])
    most = min(rows.shape[1] + 1, MOST)
    packed, symbols = np.unique(np.packbits(rows, axis=1), axis=0, return_inverse=True)
    if len(packed) > most:
        return None
    patterns = np.unpackbits(packed, axis=1, count=rows.shape[1]).view(bool)
    return Places(patterns=patterns, symbols=symbols.astype(np.uint8).ravel())


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


def _mask_code(mask: Mask, mirrored: bool, places: Places | None) -> tuple[np.ndarray, list[int], dict[str, Any]]:
    """Symbols, their counts, and the recipe."""
    if places is None:
        symbols = mask_symbols(mask, mirrored)
        counts = histogram(symbols, PAIRS if mirrored else 2)
        return symbols, counts, {"counts": counts}
    counts = histogram(places.symbols, len(places.patterns))
    patterns = ["".join("01"[kept] for kept in pattern) for pattern in places.patterns.tolist()]
    return places.symbols, counts, {"counts": counts, "patterns": patterns}


def _expanded(words: np.ndarray, recipe: Mapping[str, Any]) -> np.ndarray:
    symbols = decoded(words, recipe["counts"])
    if "patterns" in recipe:
        return np.packbits(_patterns(recipe)[symbols])
    if "shape" not in recipe:
        if len(recipe["counts"]) == PAIRS:
            symbols = np.stack((symbols >> 1, symbols & 1), axis=1)
        return np.packbits(symbols)
    if math.prod(recipe["shape"]) != symbols.size or recipe["type"] not in INDICES:
        raise DataError("its coded tensors do not have the shapes that it names: the file was altered")
    return symbols.view(INDICES[recipe["type"]]).reshape(recipe["shape"])


def _patterns(recipe: Mapping[str, Any]) -> np.ndarray:
    """(P, K) bool."""
    found = recipe["patterns"]
    plain = all(isinstance(each, str) and each and set(each) <= {"0", "1"} for each in found)
    if not plain or len(found) != len(recipe["counts"]) or len({len(each) for each in found}) != 1:
        raise DataError("its masks have no patterns that they could be read with: the file was altered")
    return np.array([[kept == "1" for kept in each] for each in found])
