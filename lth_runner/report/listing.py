"""The runs of a folder as a list: what each is, how it stands, and which of them are meant."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError, RunBusyError
from lth_runner.core.files import locked
from lth_runner.core.finished import LOCK
from lth_runner.report.choices import choice, methods, title
from lth_runner.report.differences import setting
from lth_runner.report.groups import OWN_KEYS
from lth_runner.report.overview import TARGET
from lth_runner.report.read import Found, Loader, Run
from lth_runner.report.settings import SEED, is_number, telling, text
from lth_runner.report.tables import multiple, percent

RUNNING, KILLED, DAMAGED = "running", "killed", "damaged"
STATUSES = ("ok", "failed", "interrupted", RUNNING, KILLED, DAMAGED)
STATUS, NAME, METHOD = "status", "name", "method"  # filters that are more than a setting
ACCURACY = "/accuracy"
AGES = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run in a list.

    Attributes:
        name: of its experiment, or what was done.
        varies: the settings that tell it from the others of that name, and its seed where that does.
        status: as in its summary; damaged; killed if it should be running and nobody works on it.
        why: its error, empty if there is none.
        run: None if it is damaged.
    """

    name: str
    varies: dict[str, Any]
    status: str
    why: str
    folder: Path
    run: Run | None

    @property
    def started(self) -> datetime | None:
        try:
            return datetime.fromisoformat(str(self.run and self.run.summary.get("started"))).astimezone()
        except ValueError:
            return None


def entries(found: Found) -> list[Entry]:
    """All runs, the youngest last."""
    by_name: dict[str, list[Run]] = {}
    for run in found.runs:
        by_name.setdefault(title(run), []).append(run)
    listed = [entry for name, runs in by_name.items() for entry in _entries(name, runs)]
    listed += [
        Entry(
            name=damaged.folder.name.rpartition("-")[0] or damaged.folder.name,
            varies={},
            status=DAMAGED,
            why=damaged.reason.removeprefix(f"{damaged.folder} "),
            folder=damaged.folder,
            run=None,
        )
        for damaged in found.damaged
    ]
    first = datetime.min.replace(tzinfo=UTC)
    return sorted(listed, key=lambda entry: (entry.started or first, entry.folder))


def _entries(name: str, runs: Sequence[Run]) -> list[Entry]:
    said = telling(runs).said
    seeded = len({text(run.config.get(SEED)) for run in runs}) > 1
    return [
        Entry(
            name=name,
            varies=varies | ({SEED: run.config.get(SEED)} if seeded else {}),
            status=status_of(run),
            why=str(run.summary.get("error") or ""),
            folder=run.folder,
            run=run,
        )
        for run, varies in zip(runs, said, strict=True)
    ]


def status_of(run: Run) -> str:
    status = run.summary["status"]
    return KILLED if status == RUNNING and not is_worked_on(run.folder) else status


def is_worked_on(folder: Path) -> bool:
    """Whether a process holds the run; also where the file system does not let us know."""
    if not (folder / LOCK).exists():
        return False
    try:
        with locked(folder / LOCK):
            return False
    except (RunBusyError, DataError):
        return True


def numbers(entry: Entry) -> str:
    """`target 97.19 %, closest 97.19 % (9.97x)`: the target's accuracy, and that of the best ticket with what it keeps.

    Of a run without, why it failed, if it did.
    """
    summary = entry.run.summary if entry.run else {}
    found = {key.removesuffix(ACCURACY): value for key, value in summary.items() if key.endswith(ACCURACY)}
    known = {name: value for name, value in found.items() if is_number(value)}
    tickets = {name: (value, -_kept(summary, name)) for name, value in known.items() if name != TARGET}
    shown = [f"{TARGET} {percent(known[TARGET])}"] if TARGET in known else []
    if tickets:
        best = max(tickets, key=lambda name: tickets[name])
        kept = f" ({multiple(_kept(summary, best))})" if _kept(summary, best) else ""
        shown.append(f"{best} {percent(known[best])}{kept}")
    return ", ".join(shown) or entry.why


def _kept(summary: Mapping[str, Any], network: str) -> float:
    ratio = summary.get(f"{network}/kept_ratio")
    return ratio if is_number(ratio) else 0.0


def age(entry: Entry, now: datetime) -> str:
    """`3 h`: since the run was started, in the largest unit that it has lasted."""
    if entry.started is None:
        return ""
    seconds = max(0, round((now - entry.started).total_seconds()))
    size, unit = next((size, unit) for size, unit in AGES if seconds >= size or size == 1)
    return f"{seconds // size} {unit}"


def chosen(listed: Sequence[Entry], words: Sequence[str]) -> list[Entry]:
    """Those of which every filter is true: `status=failed`, `method=pensia`, `seed=0,1`, any setting as in lth-run.

    Raises:
        ConfigError: a word is no filter, or filters by what no run has.
    """
    left = list(listed)
    for word in words:
        match = re.fullmatch(r"([\w./@]+)=(.*)", word)
        if match is None:
            raise ConfigError(f"{word} is no filter: write it as status=failed or network.hidden=100")
        key, values = match[1].replace("/", "."), match[2]
        if key == STATUS:
            for value in values.split(","):
                checks.choice(STATUS, value, STATUSES)
        if listed and key not in (STATUS, NAME) and not any(_has(entry, key) for entry in listed):
            raise ConfigError(
                f"no run here has a setting {key}: filter by status, name, method, or a setting as network.hidden"
            )
        left = [entry for entry in left if _matches(entry, key, values)]
    return left


def _has(entry: Entry, key: str) -> bool:
    return entry.run is not None and (key in entry.run.config or any(k.startswith(f"{key}.") for k in entry.run.config))


def _matches(entry: Entry, key: str, values: str) -> bool:
    """Whether a setting has one of some values; the text as a whole may be one, as a list is."""
    asked = {values, *values.split(",")}
    return bool(asked & _texts(entry, key)) or any(_equal(word, entry, key) for word in asked)


def _texts(entry: Entry, key: str) -> set[str]:
    """The texts that a filter may have for an entry."""
    if key == STATUS:
        return {entry.status}
    if key == NAME:
        return {entry.name, entry.folder.name}
    if entry.run is None:
        return set()
    config = entry.run.config
    if key == METHOD:
        compared = {choice(config, f"compare.{name}") or "" for name in methods(config)}
        return {*methods(config), *compared} - {""}
    return {text(setting(config, key))}


def _equal(word: str, entry: Entry, key: str) -> bool:
    """Whether two numbers, or lists, are the same however they are written."""
    if entry.run is None or key in (STATUS, NAME) or key not in entry.run.config:
        return False
    value = entry.run.config[key]
    try:
        return float(word) == value if is_number(value) else yaml.load(word, Loader=Loader) == value
    except (ValueError, yaml.YAMLError):
        return False


def flat(listed: Sequence[Entry]) -> tuple[list[str], list[list[Any]]]:
    """A list for machines: headings, and one row per run with its settings and all its numbers."""
    settings = _keys(entry.varies for entry in listed)
    summaries = [entry.run.summary if entry.run else {} for entry in listed]
    measures = _keys({key: None for key in each if key not in OWN_KEYS} for each in summaries)
    headings = [NAME, *settings, STATUS, "error", "started", "wall_time_s", "folder", *measures]
    rows = []
    for entry, summary in zip(listed, summaries, strict=True):
        varies = [_cell(entry.varies.get(key)) for key in settings]
        about = [entry.status, entry.why or None, summary.get("started"), summary.get("wall_time_s"), str(entry.folder)]
        rows.append([entry.name, *varies, *about, *(summary.get(key) for key in measures)])
    return headings, rows


def _keys(settings: Any) -> list[str]:
    return list(dict.fromkeys(key for each in settings for key in each))


def _cell(value: Any) -> Any:
    return value if value is None or is_number(value) else text(value)
