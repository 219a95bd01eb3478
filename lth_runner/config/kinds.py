"""Settings of the wrong kind: a text where a part belongs, a number where a list or a mapping does."""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError

PART = "_target_"


def check_kinds(found: Any, config: Mapping[str, Any], where: str) -> None:
    """Refuses values that the annotations of a dataclass rule out: lists, mappings and parts; it checks its others.

    Args:
        config: its settings, nothing built yet.
        where: the config key of the part, for messages.

    Raises:
        ConfigError: of the first one.
    """
    for key, hint in _hints(found).items():
        if key in config:
            _check(f"{where}.{key}", config[key], _alternatives(hint))


def _check(key: str, value: Any, hints: tuple[Any, ...]) -> None:
    kinds = {typing.get_origin(hint) or hint for hint in hints}
    if value is None and type(None) in kinds:
        return
    plain = [kind for kind in kinds if isinstance(kind, type)]
    if any(_is_part(kind) for kind in plain) and not (isinstance(value, dict) and PART in value):
        group = key.rpartition(".")[2]
        raise ConfigError(
            f"{key} must be a part of its own, got {value!r}: choose one of its files as {_chosen(group, key)}"
        )
    if kinds & {list, Sequence} and not kinds & {str, dict, Mapping, tuple}:
        checks.listed(key, value)
    if kinds & {dict, Mapping} and not kinds & {str, list} and not isinstance(value, dict):
        raise ConfigError(f"{key} must be a mapping, got {value!r}: write '{key}={{name: value}}', in quotes")


def _chosen(group: str, key: str) -> str:
    """How the file of a part inside another is chosen on the command line."""
    parent = key.rpartition(".")[0]
    return f"{parent}/{group}=NAME" if "." not in parent else f"method/{group}@{key}=NAME"


def _is_part(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False)) or is_dataclass(kind) or inspect.isabstract(kind)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _hints(found: Any) -> dict[str, Any]:
    """The annotations of a class; none where they name what only type checkers see."""
    try:
        return typing.get_type_hints(found) if is_dataclass(found) else {}
    except NameError:
        return {}
