"""One wording for every refusal of a setting: what, allowed, got."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

from lth_runner.core.errors import ConfigError


def integer(name: str, value: Any, at_least: int | None = None, at_most: int | None = None) -> None:
    """Refuses anything but an int (bool is not one) within the given bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be an integer, got {value!r}")
    if at_least is not None and value < at_least:
        raise ConfigError(f"{name} must be at least {at_least}, got {value}")
    if at_most is not None and value > at_most:
        raise ConfigError(f"{name} must be at most {at_most}, got {value}")


def number(name: str, value: Any) -> None:
    """Refuses anything but a finite int or float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, got {value!r}")


def positive(name: str, value: Any) -> None:
    """Refuses anything but a finite number above zero."""
    number(name, value)
    if value <= 0:
        raise ConfigError(f"{name} must be above 0, got {value}")


def not_negative(name: str, value: Any) -> None:
    """Refuses anything but a finite number of zero or more."""
    number(name, value)
    if value < 0:
        raise ConfigError(f"{name} must be 0 or more, got {value}")


def fraction(name: str, value: Any) -> None:
    """Refuses anything but a number in [0, 1]."""
    number(name, value)
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must lie in [0, 1], got {value}")


def boolean(name: str, value: Any) -> None:
    """Refuses anything but true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value!r}")


def choice(name: str, value: Any, allowed: Iterable[str]) -> None:
    """Refuses anything not in `allowed`, naming the nearest."""
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{nearest(str(value), allowed)}")


def listed(name: str, value: Any) -> None:
    """Refuses anything but a list."""
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name} must be a list, got {value!r}: write {name}=[{value}]")


def device(name: str, value: Any) -> None:
    """Refuses anything but auto, cpu, mps, cuda, and cuda:1 for any number."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ConfigError(f"{name} must be auto, cpu, cuda, cuda:1 (or another number) or mps, got {value!r}")


def file(name: str, value: Any) -> None:
    """Refuses anything but the name of a file; whether it is there is seen when it is read."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must name a file: add {name}=FILE (got {value!r})")


def folder_name(name: str, value: Any) -> None:
    """Refuses anything but one part of a path: it is not empty, not hidden, and leads nowhere else."""
    if not isinstance(value, str) or not re.fullmatch(r"[^\s./\\][^/\\\x00-\x1f]{0,99}", value):
        raise ConfigError(
            f"{name} must be the name of a folder (1 to 100 signs, no slash, no dot in front), got {value!r}"
        )


def nearest(word: str, allowed: Iterable[str]) -> str:
    """` (did you mean X?)` for the closest of `allowed`, or an empty string when nothing is close."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
