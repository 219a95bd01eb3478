"""A method with other settings than its file has."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lth_runner.core import checks
from lth_runner.ticket.names import recipe

Changes = Mapping[str, Any]  # of settings, nested ones by dotted names


def changed(method: Any, changes: Changes) -> Any:
    """The method with other settings.

    Args:
        changes: "n" or, of a part, "levels.bits".

    Raises:
        ConfigError: there is no such setting, or the method refuses it.
    """
    for name, value in changes.items():
        own, _, inner = name.partition(".")
        known = [setting for setting in recipe(method) if setting != "@"]
        checks.choice("study.settings", own, known)
        method = replace(method, **{own: changed(getattr(method, own), {inner: value}) if inner else value})
    return method
