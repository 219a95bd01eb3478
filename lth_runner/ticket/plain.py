"""What may stand in a ticket's file beside its tensors: plain values of the kinds that honest tickets have."""

from collections.abc import Mapping
from typing import Any

from lth_runner.core.errors import DataError
from lth_runner.core.identity import NEUTRAL

KIND = "@"  # the key of a part's name among its settings


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
