"""The settings that tell the runs of one experiment apart."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from lth_runner.report.choices import CLASS, UNNAMED
from lth_runner.report.differences import differences, own_settings, setting
from lth_runner.report.read import Run

SEED = "seed"
NAMED = ("method", "network", "data")  # parts in the title of a run without an experiment


@dataclass(frozen=True)
class Settings:
    """What tells the runs of one experiment apart.

    Attributes:
        keys: that vary.
        values: for each run, by key.
        said: for each run, those that are worth saying.
        common: in what all runs differ from the experiment.
    """

    keys: list[str]
    values: list[dict[str, Any]]
    said: list[dict[str, Any]]
    common: dict[str, Any]


def telling(runs: Sequence[Run]) -> Settings:
    """The settings that tell the runs of one experiment apart, seeds aside.

    Worth saying is what differs from the experiment; of a run without an experiment, and where a single setting varies,
    all that there is.
    """
    found = [differences(run) for run in runs]
    keys = _varying(runs, found)
    values = [{key: setting(run.config, key) for key in keys} for run in runs]
    usual = _usual(values, own_settings(runs[0]))
    quiet = len(keys) > 1 and runs[0].config.get("name") != UNNAMED
    said = [
        {
            key: value
            for key, value in own.items()
            if (key in each and (key, text(value)) not in usual) or not (quiet or value is None)
        }
        for own, each in zip(values, found, strict=True)
    ]
    return Settings(keys, values, said, _common(runs, found))


def varying(runs: Sequence[Run]) -> list[str]:
    """Keys in which the runs differ, without seeds and what cannot change results; the shortest of those that agree."""
    return _varying(runs, [differences(run) for run in runs])


def without_named(run: Run, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the title of a run without an experiment does not say."""
    return {key: value for key, value in settings.items() if key not in NAMED or run.config.get("name") != UNNAMED}


def settings_text(settings: Mapping[str, Any]) -> str:
    """`n=12, target=synthetic`."""
    return ", ".join(f"{key}={text(value)}" for key, value in settings.items())


def text(value: Any) -> str:
    """A setting for people; classes by their last name."""
    if isinstance(value, str):
        return value.rpartition(".")[2] if value.startswith("lth_runner.") else value
    return json.dumps(value)


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _varying(runs: Sequence[Run], found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same of runs whose differences from their experiment are known."""
    columns: dict[tuple[Any, ...], list[str]] = {}
    for key in dict.fromkeys(key for each in found for key in each):
        column = tuple(text(setting(run.config, key)) for run in runs)
        if len(set(column)) > 1 and column != tuple(text(run.config.get(SEED)) for run in runs):
            columns.setdefault((column, *(key in each for each in found)), []).append(key)
    return [min(same, key=lambda key: (key.count("."), len(key))) for same in columns.values()]


def _usual(settings: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Of settings that no file has, the values, as text, that more than half of the runs have."""
    usual = set()
    for key in settings[0]:
        values = [text(each[key]) for each in settings]
        most = statistics.mode(values)
        if not _is_known(key, known) and 2 * values.count(most) > len(values):
            usual.add((key, most))
    return usual


def _common(runs: Sequence[Run], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that all runs share and the experiment has otherwise; not those that a section's name says."""
    known, (first, *others) = own_settings(runs[0]), found
    return {
        key: value
        for key, value in without_named(runs[0], first).items()
        if key != SEED and _is_known(key, known) and all(key in other and other[key] == value for other in others)
    }


def _is_known(key: str, known: Mapping[str, Any]) -> bool:
    """Whether the experiment's files say what a setting is, or leave out the part that it belongs to."""
    return key in known or f"{key}.{CLASS}" in known or known.get(key.partition(".")[0], known) is None
