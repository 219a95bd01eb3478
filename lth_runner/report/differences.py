"""In what a run differs from its experiment as it is: the settings that are worth reading."""

from collections.abc import Collection
from typing import Any

from lth_runner.core.identity import NEUTRAL
from lth_runner.report import shipped
from lth_runner.report.choices import CLASS, choice, made_of
from lth_runner.report.read import Run

SETTLED = "auto"  # a value that a run replaces by the one it finds


def differences(run: Run) -> dict[str, Any]:
    """The settings in which a run differs from its experiment, or from the shipped files; settings unknown there too.

    A part of another class ("target") has the name of its file, None if it is left out, and beside that only what
    differs from that file. Seeds are settings here; what cannot change results is none.
    """
    own = own_settings(run)
    found: dict[str, Any] = {}
    for part in _parts([*run.config, *own]):
        if own.get(f"{part}.{CLASS}") != run.config.get(f"{part}.{CLASS}"):
            found[part] = choice(run.config, part)
            own = {key: value for key, value in own.items() if not key.startswith(f"{part}.")}
            own |= {f"{part}.{key}": value for key, value in made_of(run.config, part).items()}
    for key, value in run.config.items():
        if key.rpartition(".")[2] != CLASS and key not in found and _unlike(key, value, own) and not is_neutral(key):
            found[key] = value
    return found


def own_settings(run: Run) -> dict[str, Any]:
    """The settings that the run's experiment has by itself, interpolations as the run resolves them."""
    return shipped.resolved(shipped.experiment(str(run.config.get("name"))), run.config)


def setting(config: dict[str, Any], key: str) -> Any:
    """The value of a setting; of a part, the name of its file."""
    return choice(config, key) if f"{key}.{CLASS}" in config else config.get(key)


def is_neutral(key: str) -> bool:
    """Whether a setting cannot change results."""
    return any(key == neutral or key.startswith(f"{neutral}.") for neutral in NEUTRAL)


def _unlike(key: str, value: Any, own: dict[str, Any]) -> bool:
    return key not in own or (own[key] != value and own[key] != SETTLED)


def _parts(keys: Collection[str]) -> list[str]:
    """The parts that are made of classes, outer ones before those inside them."""
    return sorted({key.rpartition(".")[0] for key in keys if key.rpartition(".")[2] == CLASS})
