"""The figures of a report: curves over a setting of the methods, and results over what varies between the runs."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lth_runner.core.files import read_text
from lth_runner.report import variants
from lth_runner.report.groups import Group, Section
from lth_runner.report.kinds import curves
from lth_runner.report.points import Description, Point
from lth_runner.report.read import Run
from lth_runner.report.settings import is_number, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
MOST_CURVES = 7  # colours and markers told apart in one panel of several methods
MOST_VARIANTS = 14  # the same with all pairs of colour and marker: lines of one method
MOST_PANELS = 4  # methods side by side
AS_IT_IS = "as it is"  # the experiment without a change
MOST_SETTINGS = 4  # settings over which results are drawn
WIDE = 20.0  # ratio of the largest to the smallest value from which an axis is logarithmic


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure, and what stands below it.

    Attributes:
        name: of its files, without ending.
        caption: what it shows.
        figure: matplotlib's.
    """

    name: str
    caption: str
    figure: "Figure"


def figures(section: Section) -> Iterator[Drawn]:
    """First the curves inside the runs, all settings together, then what varies between runs."""
    yield from _curves(section)
    over = {key: along(section, key, comparable(section, key)) for key in section.varying}
    for key in sorted(over, key=lambda key: -len({line[key] for line in over[key]}))[:MOST_SETTINGS]:
        yield from _over(section, key, over[key])


def commands(runs: list[Run]) -> list[str]:
    """The distinct commands that made the runs."""
    return list(dict.fromkeys(command for run in runs if (command := _command(run))))


def _over(section: Section, key: str, lines: Sequence[dict[str, Any]]) -> Iterator[Drawn]:
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


def _curves(section: Section) -> Iterator[Drawn]:
    """The curves of all runs in one figure; a run that draws itself and is alone needs no other figure of the same."""
    if len(section.runs) == 1 and section.runs[0].draws_itself:
        return
    description = variants.description_of(section)
    value = description["values"][0]
    found = {group.label or AS_IT_IS: variants.points_of(group, description["axis"], value) for group in section.groups}
    found = {label: points for label, points in found.items() if points}
    shown = {label: found[label] for label in spread(list(found), MOST_VARIANTS)}
    names = list(dict.fromkeys(str(point["curve"]) for points in shown.values() for point in points))
    if len(shown) > 1:
        figure, what = variants.figure(shown, names[:MOST_PANELS], description), "one line for each setting"
    elif shown and value != "accuracy":
        figure, what = _of_methods(next(iter(shown.values())), names, description), "one line for each curve"
    elif 0 < len(names) <= MOST_CURVES:
        figure, what = curves.figure(next(iter(shown.values())), description), "one line for each method"
    else:
        return
    shown_values = "accuracy and error" if value == "accuracy" else value.replace("_", " ")
    caption = f"{section.name}: {shown_values} over {description['axis']}, {what}"
    caption += f"; {len(shown)} of {len(found)} settings" if len(shown) < len(found) else ""
    caption += f"; {MOST_PANELS} of {len(names)} methods" if len(shown) > 1 and len(names) > MOST_PANELS else ""
    yield Drawn(name=f"{section.stem}_curves", caption=caption, figure=figure)


def _of_methods(points: Sequence[Point], names: Sequence[str], description: Description) -> "Figure":
    """One panel with a line for each method, of the first value that the points have."""
    lines = {
        description["labels"].get(name, name): [{**point, "curve": ""} for point in points if point["curve"] == name]
        for name in spread(names, MOST_VARIANTS)
    }
    return variants.figure(lines, [""], {**description, "values": description["values"][:1]})


def spread(found: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of what was found, evenly spread, the first and the last among them."""
    return found if len(found) <= most else [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]


def _command(run: Run) -> str | None:
    """The command of the sweep that the run belongs to, or of the run itself."""
    sweep = run.folder.parent / "sweeps" / str(run.config.get("wandb.group")) / "sweep.json"
    for path in (sweep, run.folder / "environment.json"):
        try:
            words = json.loads(read_text(path))["command"]
            return shlex.join([Path(words[0]).name, *words[1:]])
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            continue
    return None
