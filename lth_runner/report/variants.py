"""The curves of all runs of an experiment in one figure: a panel for each method, a line for each setting."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_runner.core.errors import DataError
from lth_runner.report.groups import Group, Section
from lth_runner.report.kinds.curves import zeros_lifted
from lth_runner.report.laws import MOST_MARKERS
from lth_runner.report.plots import band, draw_accuracy
from lth_runner.report.points import Description, Point, read_figures, read_points
from lth_runner.report.read import Run
from lth_runner.report.series import Series, series
from lth_runner.report.settings import is_number
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = "study.labels."
TITLE_WIDTH = 44  # characters


VALUES = ("accuracy", "weight_error_median")  # of points of curves: a row of panels for each that is there


def _over_density(description: Description) -> Description:
    """A figure over what was kept as one of curves, over what was asked for: that is the same for all seeds."""
    label = "weights asked to keep (fraction)"
    return _over("density", label, description.get("labels") or {}, VALUES, log_axis=True)


def _over_n(description: Description) -> Description:
    """Accuracies, and below them the weights that are shared with constructed tickets."""
    values = ("accuracy", "overlap_sums")
    return _over(description["axis"], description["axis_label"], description["labels"], values)


def _failures(description: Description) -> Description:
    """The shares of failures of all panels, whose titles stand before the names of their curves."""
    labels = {
        f"{name}/{curve}": f"{panel['title']}: {label}"
        for name, panel in description["panels"].items()
        for curve, label in panel["labels"].items()
    }
    return _over("n", "n, random weights offered per weight", labels, ("failure_share",))


def _numbers(description: Description) -> Description:
    """The smallest n against epsilon, whether it grows as a logarithm or as a power."""
    labels = {name: curve["label"] for name, curve in description["curves"].items()}
    return _over("epsilon", "epsilon, allowed error per weight", labels, ("n",), log_axis=True)


def _over(
    axis: str, axis_label: str, labels: Mapping[str, str], values: Sequence[str], log_axis: bool = False
) -> Description:
    return {
        "axis": axis,
        "axis_label": axis_label,
        "log_axis": log_axis,
        "epsilon": None,
        "labels": labels,
        "values": values,
    }


KINDS: Mapping[str, Callable[[Description], Description]] = {  # of figures that settings are put together of
    "curves": lambda description: {**description, "values": VALUES},
    "density": _over_density,
    "overlap": _over_n,
    "failure_probability": _failures,
    "scaling_law": _numbers,
}


def description_of(section: Section) -> Description:
    """How the curves of a section look: as those of its first run, which folders of before 0.2 have in their config.

    The target's accuracy is a mean, where there is one to compare with.
    """
    run = section.runs[0]
    own = own_curves(run)
    target = section.groups[0].rows.get("target", {}).get("accuracy")
    mean = None if target is None or len(section.groups) > 1 else target.mean
    return {**(own[0] if own else _described(run.config)), "target_accuracy": mean}


def own_curves(run: Run) -> tuple[Description, list[dict[str, Any]]] | None:
    """The description, as of curves, and the points of the run's own figure, if it has one that can be put together."""
    if not run.draws_itself:
        return None
    try:
        own = next((each for each in read_figures(run.folder).values() if str(each.get("kind")) in KINDS), None)
        if own is None:
            return None
        description = KINDS[own["kind"]](own)
        return description, [_named(point, description["labels"]) for point in read_points(run.folder)]
    except (DataError, AttributeError, KeyError, TypeError):  # said where the run's own figures are drawn
        return None


def _named(point: dict[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """A point whose curve's name says its panel too, where labels do."""
    name = f"{point.get('panel')}/{point.get('curve')}"
    return {**point, "curve": name} if name in labels else point


def points_of(group: Group, axis: str, value: str) -> list[Point]:
    """The points of a group's runs that have a value over an axis, those of metrics where a run has no others."""
    owned = [own_curves(run) for run in group.runs]
    lines = [line for run, own in zip(group.runs, owned, strict=True) for line in (own[1] if own else run.metrics())]
    return [line for line in lines if "curve" in line and is_number(line.get(axis)) and is_number(line.get(value))]


def figure(variants: Mapping[str, Sequence[Point]], methods: Sequence[str], description: Description) -> "Figure":
    """A row of panels for each value that there is, as accuracy and median weight error: lines by setting.

    Args:
        variants: points by what tells them apart, at least one each.
        methods: curves of the points that get a column of panels.
        description: as of a figure of curves, with the values of its points that are drawn; its levels of target and
            epsilon are left out.
    """
    axis, looks = description["axis"], curve_looks(variants, {})
    rows = {
        value: {label: series(points, axis, value) for label, points in variants.items()}
        for value in description["values"]
    }
    rows = {value: curves for value, curves in rows.items() if any(curves.values())}
    with panels(columns=len(methods), rows=len(rows)) as (drawn, axes):
        for method, top in zip(methods, axes, strict=False):
            top.set_title(textwrap.fill(description["labels"].get(method, method), TITLE_WIDTH))
        for i, (value, curves) in enumerate(rows.items()):
            row = axes[i * len(methods) :][: len(methods)]
            for method, panel in zip(methods, row, strict=True):
                ROWS[value](panel, _of(method, curves), looks)
                panel.set_visible(bool(_of(method, curves)))
            _share_limits([panel for panel in row if panel.get_visible()])
        for panel in axes:
            panel.set_xscale("log" if description["log_axis"] else "linear")
            panel.set_xlabel(description["axis_label"])
        legend_below(drawn, axes)
    return drawn


def _of(method: str, curves: Mapping[str, Mapping[str, Series]]) -> dict[str, Series]:
    """The curves of one method by setting."""
    return {label: of_setting[method] for label, of_setting in curves.items() if method in of_setting}


def _draw_errors(axes: "Axes", errors: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]) -> None:
    lift = zeros_lifted(axes, list(errors.values()))
    for label, curve in errors.items():
        axes.plot(curve.x, lift(curve.mean), **looks[label])
        band(axes, curve.x, lift(curve.low), lift(curve.high), curve.spread, looks[label])
    axes.set_ylabel("median weight error, absolute")


def _draw_shared(axes: "Axes", curves: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]) -> None:
    draw_accuracy(axes, curves, looks)  # fractions, too
    axes.set_ylim(bottom=0)
    axes.set_ylabel("constructed weights found too (%)")


def _draw_logarithmic(label: str) -> "Draw":
    def draw(axes: "Axes", curves: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]) -> None:
        for name, curve in curves.items():
            axes.plot(curve.x, curve.mean, markevery=1 + curve.x.size // MOST_MARKERS, **looks[name])
            band(axes, curve.x, curve.low, curve.high, curve.spread, looks[name])
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylabel(label)

    return draw


Draw = Callable[["Axes", Mapping[str, Series], Mapping[str, Mapping[str, Any]]], None]
ROWS: Mapping[str, Draw] = {  # how each value is drawn
    "accuracy": draw_accuracy,
    "weight_error_median": _draw_errors,
    "overlap_sums": _draw_shared,
    "failure_share": _draw_logarithmic("share of failures"),
    "n": _draw_logarithmic("smallest n"),
}


def _share_limits(row: Sequence["Axes"]) -> None:
    limits = [panel.get_ylim() for panel in row]
    for panel in row:
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _described(config: Mapping[str, Any]) -> Description:
    """What the config of a run says about its curves."""
    axis, epsilon = str(config.get("study.axis", "n")), config.get("epsilon")
    return {
        "axis": axis,
        "axis_label": axis,
        "log_axis": False,
        "epsilon": float(epsilon) if axis == "n" and epsilon is not None and is_number(epsilon) else None,
        "labels": {key.removeprefix(LABELS): str(value) for key, value in config.items() if key.startswith(LABELS)},
        "values": VALUES,
    }
