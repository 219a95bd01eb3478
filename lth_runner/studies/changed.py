"""A method with other settings than its file has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
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


def check_values(values: Mapping[str, Sequence[int]]) -> None:
    """Refuses values of n that are none, or not ascending, by the method's name."""
    for name, each in values.items():
        if not each or sorted(set(each)) != each:
            raise ConfigError(f"study.values.{name} must have some n, ascending: got {each}")


def at_every_n(methods: Mapping[str, Any], values: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, Any]]:
    """Every method at every n of its own: its name, n, and the method.

    Raises:
        ConfigError: a method has no values, or refuses one.
    """
    for name, method in methods.items():
        checks.choice("compare", name, values)
        yield from ((name, n, changed(method, {"n": n})) for n in values[name])
