"""What may stand in a ticket's file beside its tensors: plain values of the kinds that honest tickets have."""

import math
from collections.abc import Mapping
from typing import Any

from lth_runner.core.errors import DataError
from lth_runner.core.identity import NEUTRAL

KIND = "@"  # the key of a part's name among its settings


def check_numbers(what: str, values: Any) -> None:
    """Refuses claims or facts that are no finite numbers by name.

    Raises:
        DataError: of the first that is none.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"its {what} have no names: the file was altered")
    for name, value in values.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(f"its {what} hold {name} = {value!r}, which is no finite number: the file was altered")


def check_drawn(name: str, recipe: Mapping[str, Any]) -> None:
    """Refuses a random tensor whose shape, stream or scale cannot be one.

    Raises:
        DataError: of the first that is none.
    """
    shape, stream, scale = recipe["shape"], recipe["stream"], recipe["scale"]
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    named = isinstance(stream, list) and all(isinstance(part, str) for part in stream)
    number = isinstance(scale, int | float) and math.isfinite(scale)
    marks = all(isinstance(recipe.get(mark, False), bool) for mark in ("centred", "mirrored", "scaled", "by_place"))
    if not whole or not named or not number or not marks:
        raise DataError(
            f"its {name} is drawn in shape {shape!r} from stream {stream!r} with scale {scale!r}, which nothing can be "
            "drawn with: the file was altered"
        )


def check_dataset(recipe: Any) -> None:
    """Refuses what is no recipe of a dataset, and one that would have more done than to load it.

    The datasets of this package have plain settings only; one from elsewhere is built after consent alone, and may
    have lists and mappings too.

    Raises:
        DataError: no name, settings that are not plain or that name code, or that say where files lie.
    """
    if recipe is None:
        return
    if not isinstance(recipe, Mapping) or not isinstance(recipe.get(KIND), str):
        raise DataError("its dataset has no name, so nobody can load it: the file was altered")
    nested = ":" in recipe[KIND]
    for key, value in recipe.items():
        if f"data.{key}" in NEUTRAL:
            raise DataError(f"its dataset says where files lie (data.{key}): that is the reader's to say")
        if key != KIND and not _is_plain({key: value} if nested else value, nested):
            raise DataError(f"its dataset's setting {key} is no plain value: the file was altered, so do not trust it")
        if key.startswith("_"):
            raise DataError(f"its dataset's {key} is no setting of a dataset: the file was altered, so do not trust it")


def _is_plain(value: Any, nested: bool) -> bool:
    """Whether it is a number, a text, true, false or null; or, where that is allowed, made of them."""
    if nested and isinstance(value, list | tuple):
        return all(_is_plain(item, nested) for item in value)
    if nested and isinstance(value, Mapping):
        return all(not str(key).startswith("_") and _is_plain(item, nested) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)
