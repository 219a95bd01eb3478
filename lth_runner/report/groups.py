"""Runs put together by what varies between them: one group per combination of settings, over which seeds are spread."""

import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lth_runner.core.identity import NEUTRAL
from lth_runner.report.choices import title
from lth_runner.report.read import Run

SEED = "seed"
OWN_KEYS = ("status", "error", "started", "wall_time_s")  # of a summary: about the run, not of what it found


@dataclass(frozen=True)
class Statistic:
    """One number over the runs of a group.

    Attributes:
        mean: over the runs.
        spread: sample standard deviation; None for a single run.
        count: runs that have this number.
    """

    mean: float
    spread: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """The runs that differ in their seeds alone.

    Attributes:
        settings: values of the section's `varying`, in that order.
        runs: all of them ended well.
        rows: by network ("target", "closest"; "" for numbers of the run as a whole), statistics by measure.
    """

    settings: tuple[Any, ...]
    runs: list[Run]
    rows: dict[str, dict[str, Statistic]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """The runs of one experiment, or of one thing that was done without an experiment.

    Attributes:
        name: of the experiment, or what was done, as in "edge_popup on redundant_fc, mnist".
        varying: config keys whose values differ, one of those that always vary together.
        groups: in the order of their settings.
    """

    name: str
    varying: list[str]
    groups: list[Group]

    @property
    def stem(self) -> str:
        """The name as the beginning of a file's name."""
        return re.sub(r"[^\w.+-]+", "_", self.name)

    def measures(self) -> list[str]:
        """Of any network, in the order of their first appearance."""
        return list(dict.fromkeys(m for group in self.groups for row in group.rows.values() for m in row))

    def label(self, group: Group) -> str:
        """`network.hidden=100`: what tells a group from the others."""
        return ", ".join(f"{key}={text(value)}" for key, value in zip(self.varying, group.settings, strict=True))


def sections(runs: Iterable[Run]) -> list[Section]:
    """One section per experiment, of the runs that ended well."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        if run.ok:
            by_name.setdefault(title(run), []).append(run)
    return [_section(name, members) for name, members in sorted(by_name.items())]


def varying(runs: Sequence[Run]) -> list[str]:
    """Keys in which the runs differ, without seeds and what cannot change results; the shortest of those that agree."""
    keys = dict.fromkeys(key for run in runs for key in run.config if not _is_neutral(key))
    columns: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        column = tuple(text(run.config.get(key)) for run in runs)
        if len(set(column)) > 1:
            columns.setdefault(column, []).append(key)
    seeds = tuple(text(run.config.get(SEED)) for run in runs)
    return [
        min(same, key=lambda key: (key.count("."), len(key))) for column, same in columns.items() if column != seeds
    ]


def text(value: Any) -> str:
    """A setting for people; classes by their last name."""
    if isinstance(value, str):
        return value.rpartition(".")[2] if value.startswith("lth_runner.") else value
    return json.dumps(value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _section(name: str, runs: list[Run]) -> Section:
    keys = varying(runs)
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(json.dumps([run.config.get(key) for key in keys]), []).append(run)
    groups = [
        Group(settings=tuple(same[0].config.get(key) for key in keys), runs=same, rows=_rows(same))
        for same in members.values()
    ]
    groups.sort(
        key=lambda group: [(0, value, "") if is_number(value) else (1, 0, text(value)) for value in group.settings]
    )
    return Section(name=name, varying=keys, groups=groups)


def _rows(runs: list[Run]) -> dict[str, dict[str, Statistic]]:
    values: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for key, value in run.summary.items():
            if key not in OWN_KEYS and is_number(value):
                network, _, measure = key.rpartition("/")
                values.setdefault(network, {}).setdefault(measure, []).append(value)
    return {
        network: {measure: _statistic(numbers) for measure, numbers in measures.items()}
        for network, measures in values.items()
    }


def _statistic(numbers: list[float]) -> Statistic:
    spread = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Statistic(statistics.fmean(numbers), spread, len(numbers))


def _is_neutral(key: str) -> bool:
    return any(key == neutral or key.startswith(f"{neutral}.") for neutral in NEUTRAL)


def flat_table(found: Sequence[Section]) -> tuple[list[str], list[list[Any]]]:
    """Everything as one table for machines: headings, and one row per group and network."""
    settings = list(dict.fromkeys(key for section in found for key in section.varying))
    measures = list(dict.fromkeys(measure for section in found for measure in section.measures()))
    headings = ["experiment", *settings, "network", "runs"]
    headings += [f"{measure}_{kind}" for measure in measures for kind in ("mean", "std")]
    rows = []
    for section in found:
        for group in section.groups:
            values: Mapping[str, Any] = dict(zip(section.varying, group.settings, strict=True))
            for network, row in group.rows.items():
                cells: list[Any] = [section.name, *(values.get(key) for key in settings), network, len(group.runs)]
                for measure in measures:
                    statistic = row.get(measure)
                    cells += [statistic.mean, statistic.spread] if statistic else [None, None]
                rows.append(cells)
    return headings, rows
