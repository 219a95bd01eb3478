"""The figures of a report: curves over a setting of the methods, and results over what varies between the runs."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lth_runner.report.groups import Group, Section, is_number, text
from lth_runner.report.kinds import curves
from lth_runner.report.plots import accuracy_figure
from lth_runner.report.read import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
MOST_CURVES = 7  # colours and markers told apart
MOST_GROUPS = 6  # curve figures of one experiment: each takes about a second to draw
WIDE = 20.0  # ratio of the largest to the smallest value from which an axis is logarithmic


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure, and what stands below it.

    Attributes:
        name: of its files, without ending.
        caption: what it shows.
        commands: that made its runs.
        figure: matplotlib's.
    """

    name: str
    caption: str
    commands: list[str]
    figure: "Figure"


def figures(section: Section) -> Iterator[Drawn]:
    """First what varies between runs, then the curves inside runs."""
    for key in section.varying:
        yield from _over(section, key)
    shown = spread(section.groups, MOST_GROUPS)
    for number, group in enumerate(shown):
        yield from _curves(section, group, number, len(shown))


def commands(runs: list[Run]) -> list[str]:
    """The distinct commands that made the runs."""
    return list(dict.fromkeys(command for run in runs if (command := _command(run))))


def _over(section: Section, key: str) -> Iterator[Drawn]:
    groups = comparable(section, key)
    lines = along(section, key, groups)
    if not 0 < len({line["curve"] for line in lines}) <= MOST_CURVES:
        return
    values = sorted({line[key] for line in lines})
    wide = values[0] > 0 and values[-1] / values[0] >= WIDE
    description = {
        "axis": key, "axis_label": key, "log_axis": wide, "target_accuracy": None, "epsilon": None, "labels": {},
    }  # fmt: skip
    yield Drawn(
        name=f"{section.stem}_over_{key.replace('.', '_')}",
        caption=f"{section.name}: results over {key}; lines are means, bands reach from the least to the greatest seed",
        commands=commands([run for group in groups for run in group.runs]),
        figure=curves.figure(lines, description),
    )


def comparable(section: Section, key: str) -> list[Group]:
    """The groups that can be compared over a setting, a number: others agree with them in all but that one."""
    at = section.varying.index(key)
    alike: dict[str, list[Group]] = {}
    for group in section.groups:
        if is_number(group.settings[at]):
            rest = [value for i, value in enumerate(group.settings) if i != at]
            alike.setdefault(text(rest), []).append(group)
    return [group for groups in alike.values() if len(groups) > 1 for group in groups]


def along(section: Section, key: str, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One line per run and network over a setting; curves are named by network and by what else tells them apart."""
    settings = [dict(zip(section.varying, group.settings, strict=True)) for group in groups]
    telling = [k for k in section.varying if k != key and len({text(values[k]) for values in settings}) > 1]
    return [
        {**line, "curve": ", ".join([line["curve"], *(f"{k}={text(values[k])}" for k in telling)]), key: values[key]}
        for group, values in zip(groups, settings, strict=True)
        for line in _points(group)
    ]


def _points(group: Group) -> Iterator[dict[str, Any]]:
    """One line per run and network."""
    for run in group.runs:
        for network, row in sorted(group.rows.items(), key=lambda item: item[0] == "target"):  # colours: methods first
            if "accuracy" not in row:
                continue
            measured = {measure: run.summary.get(f"{network}/{measure}") for measure in row}
            if network == "target":  # it differs from itself in nothing
                measured = {"accuracy": measured["accuracy"]}
            yield {**measured, "curve": network}


def _curves(section: Section, group: Group, number: int, shown: int) -> Iterator[Drawn]:
    """The curves of a group's runs together; one run that draws itself needs no other figure of the same."""
    if len(group.runs) == 1 and group.runs[0].draws_itself:
        return
    config = group.runs[0].config
    axis = str(config.get("study.axis", "n"))
    lines = [line for run in group.runs for line in run.metrics() if "curve" in line and is_number(line.get(axis))]
    lines = [line for line in lines if is_number(line.get("accuracy"))]
    if not 0 < len({line["curve"] for line in lines}) <= MOST_CURVES:
        return
    labels = {
        key.removeprefix("study.labels."): str(value)
        for key, value in config.items()
        if key.startswith("study.labels.")
    }
    target = group.rows.get("target", {}).get("accuracy")
    epsilon = config.get("epsilon")
    if axis == "n" and target is not None and is_number(epsilon):
        description = {
            "axis": "n", "axis_label": "n, random weights offered per target weight", "log_axis": False,
            "target_accuracy": target.mean, "epsilon": float(epsilon or 0), "labels": labels,
        }  # fmt: skip
        figure = curves.figure(lines, description)
    else:
        levels = {"target network": target.mean} if target else {}
        figure = accuracy_figure(lines, axis=axis, axis_label=axis, levels=levels, labels=labels)
    left_out = len(section.groups) - shown
    caption = ": ".join(part for part in (section.name, section.label(group)) if part)
    caption += f"; accuracy and error over {axis}, {len(group.runs)} run{'s' * (len(group.runs) > 1)}"
    caption += f"; one of {shown} drawn of {len(section.groups)} combinations" if left_out else ""
    yield Drawn(name=f"{section.stem}_curves_{number}", caption=caption, commands=commands(group.runs), figure=figure)


def spread(found: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of what was found, evenly spread, the first and the last among them."""
    return found if len(found) <= most else [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]


def _command(run: Run) -> str | None:
    """The command of the sweep that the run belongs to, or of the run itself."""
    sweep = run.folder.parent / "sweeps" / str(run.config.get("wandb.group")) / "sweep.json"
    for path in (sweep, run.folder / "environment.json"):
        try:
            words = json.loads(path.read_text(encoding="utf-8"))["command"]
            return shlex.join([Path(words[0]).name, *words[1:]])
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            continue
    return None
