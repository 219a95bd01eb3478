"""Runs put together by what varies between them: one group per combination of settings, over which seeds are spread."""

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lth_runner.report.choices import title
from lth_runner.report.read import Run
from lth_runner.report.settings import is_number, settings_text, telling, text

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
        said: what of it is worth saying: where it differs from the experiment, or from most runs of an unknown one.
        runs: all of them ended well.
        rows: by network ("target", "closest"; "" for numbers of the run as a whole), statistics by measure.
    """

    settings: tuple[Any, ...]
    said: dict[str, Any]
    runs: list[Run]
    rows: dict[str, dict[str, Statistic]]

    @property
    def label(self) -> str:
        """`n=12, target=synthetic`: what tells it from the experiment as it is; empty if nothing does."""
        return settings_text(self.said)


@dataclass(frozen=True, kw_only=True)
class Section:
    """The runs of one experiment, or of one thing that was done without an experiment.

    Attributes:
        name: of the experiment, or what was done, as in "edge_popup on redundant_fc, mnist".
        varying: config keys whose values differ, one of those that always vary together.
        common: in what all runs differ from the experiment.
        groups: in the order of their settings.
    """

    name: str
    varying: list[str]
    common: dict[str, Any]
    groups: list[Group]

    @property
    def stem(self) -> str:
        """The name as the beginning of a file's name."""
        return re.sub(r"[^\w.+-]+", "_", self.name)

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]

    def measures(self) -> list[str]:
        """Of any network, in the order of their first appearance."""
        return list(dict.fromkeys(m for group in self.groups for row in group.rows.values() for m in row))


def sections(runs: Iterable[Run]) -> list[Section]:
    """One section per experiment, of the runs that ended well."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        if run.ok:
            by_name.setdefault(title(run), []).append(run)
    return [_section(name, members) for name, members in sorted(by_name.items())]


def _section(name: str, runs: list[Run]) -> Section:
    apart = telling(runs)
    alike: dict[str, list[int]] = {}
    for i, values in enumerate(apart.values):
        alike.setdefault(json.dumps(list(values.values())), []).append(i)
    groups = []
    for members in alike.values():
        same, first = [runs[i] for i in members], members[0]
        settings = tuple(apart.values[first].values())
        groups.append(Group(settings=settings, said=apart.said[first], runs=same, rows=_rows(same)))
    groups.sort(key=lambda group: _order(group, apart.keys))
    return Section(name=name, varying=apart.keys, common=apart.common, groups=groups)


def _order(group: Group, keys: Sequence[str]) -> tuple[Any, ...]:
    """The experiment as it is, then those that differ in the same settings side by side, by their values."""
    values = [(0, value, "") if is_number(value) else (1, 0, text(value)) for value in group.settings]
    return [keys.index(key) for key in group.said], values


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
