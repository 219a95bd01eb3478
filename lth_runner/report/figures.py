"""The figures of a report: curves over a setting of the methods, and results over what varies between the runs."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lth_runner.report.groups import Group, Section, is_number, text
from lth_runner.report.plots import accuracy_figure, curves_figure, settings_figure
from lth_runner.report.read import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    shown = section.groups if len(section.groups) <= MOST_GROUPS else _spread(section.groups, MOST_GROUPS)
    for number, group in enumerate(shown):
        yield from _curves(section, group, number, len(shown))


def commands(runs: list[Run]) -> list[str]:
    """The distinct commands that made the runs."""
    return list(dict.fromkeys(command for run in runs if (command := _command(run))))


def _over(section: Section, key: str) -> Iterator[Drawn]:
    at = section.varying.index(key)
    values = sorted({group.settings[at] for group in section.groups if is_number(group.settings[at])})
    lines = [line for group in section.groups if is_number(group.settings[at]) for line in _points(section, group, at)]
    if len(values) < 2 or not 0 < len({line["curve"] for line in lines}) <= MOST_CURVES:
        return
    wide = values[0] > 0 and values[-1] / values[0] >= WIDE
    yield Drawn(
        name=f"{section.name}_over_{key.replace('.', '_')}",
        caption=f"{section.name}: results over {key}; lines are means, bands reach from the least to the greatest seed",
        commands=commands([run for group in section.groups for run in group.runs]),
        figure=settings_figure(lines, axis=key, axis_label=key, log_axis=wide),
    )


def _points(section: Section, group: Group, at: int) -> Iterator[dict[str, Any]]:
    """One line per run and network, named by the network and by what else varies."""
    others = [f"{k}={text(v)}" for i, (k, v) in enumerate(zip(section.varying, group.settings, strict=True)) if i != at]
    for run in group.runs:
        for network, row in sorted(group.rows.items(), key=lambda item: item[0] == "target"):  # colours: methods first
            if "accuracy" not in row:
                continue
            measured = {measure: run.summary.get(f"{network}/{measure}") for measure in row}
            if network == "target":  # it differs from itself in nothing
                measured = {"accuracy": measured["accuracy"]}
            yield {**measured, "curve": ", ".join([network, *others]), section.varying[at]: group.settings[at]}


def _curves(section: Section, group: Group, number: int, shown: int) -> Iterator[Drawn]:
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
        figure = curves_figure(lines, target_accuracy=target.mean, epsilon=float(epsilon or 0), labels=labels)
    else:
        levels = {"target network": target.mean} if target else {}
        figure = accuracy_figure(lines, axis=axis, axis_label=axis, levels=levels, labels=labels)
    left_out = len(section.groups) - shown
    caption = ": ".join(part for part in (section.name, section.label(group)) if part)
    caption += f"; accuracy and error over {axis}, {len(group.runs)} run{'s' * (len(group.runs) > 1)}"
    caption += f"; one of {shown} drawn of {len(section.groups)} combinations" if left_out else ""
    yield Drawn(name=f"{section.name}_curves_{number}", caption=caption, commands=commands(group.runs), figure=figure)


def _spread(groups: list[Group], count: int) -> list[Group]:
    """`count` of the groups, evenly spread, the first and the last among them."""
    return [groups[round(i * (len(groups) - 1) / (count - 1))] for i in range(count)]


def _command(run: Run) -> str | None:
    """The command of the sweep that the run belongs to, or of the run itself."""
    sweep = run.folder.parent / "sweeps" / str(run.config.get("wandb.group")) / "sweep.json"
    for path in (sweep, run.folder / "environment.json"):
        try:
            words = json.loads(path.read_text())["command"]
            return shlex.join([Path(words[0]).name, *words[1:]])
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            continue
    return None
