"""The curves of all runs of an experiment in one figure: a panel for each method, a line for each setting."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_runner.core.errors import DataError
from lth_runner.report.groups import Group, Section
from lth_runner.report.kinds.curves import zeros_lifted
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


def _over_density(description: Description) -> Description:
    """A figure over what was kept as one of curves, over what was asked for: that is the same for all seeds."""
    return {
        "axis": "density",
        "axis_label": "weights asked to keep (fraction)",
        "log_axis": True,
        "epsilon": None,
        "labels": description.get("labels") or {},
    }


KINDS: Mapping[str, Callable[[Description], Description]] = {  # of figures that settings are put together of
    "curves": lambda description: description,
    "density": _over_density,
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
        return None if own is None else (KINDS[own["kind"]](own), read_points(run.folder))
    except DataError:  # said where the run's own figures are drawn
        return None


def points_of(group: Group, axis: str) -> list[Point]:
    """The points of a group's runs over an axis, those of metrics where a run has no others."""
    owned = [own_curves(run) for run in group.runs]
    lines = [line for run, own in zip(group.runs, owned, strict=True) for line in (own[1] if own else run.metrics())]
    return [line for line in lines if "curve" in line and is_number(line.get(axis)) and is_number(line.get("accuracy"))]


def figure(variants: Mapping[str, Sequence[Point]], methods: Sequence[str], description: Description) -> "Figure":
    """Accuracy, and below it the median weight error where there is any: lines by setting, panels by method.

    Args:
        variants: points by what tells them apart, at least one each.
        methods: curves of the points that get a panel.
        description: as of a figure of curves; its levels of target and epsilon are left out.
    """
    axis, looks = description["axis"], curve_looks(variants, {})
    accuracy, errors = (
        {label: series(points, axis, value) for label, points in variants.items()}
        for value in ("accuracy", "weight_error_median")
    )
    rows = 2 if any(errors.values()) else 1
    with panels(columns=len(methods), rows=rows) as (drawn, axes):
        for method, top in zip(methods, axes[: len(methods)], strict=True):
            top.set_title(description["labels"].get(method, method))
            draw_accuracy(top, _of(method, accuracy), looks)
        for method, bottom in zip(methods, axes[len(methods) :], strict=False):
            _draw_errors(bottom, _of(method, errors), looks)
        for row in (axes[: len(methods)], axes[len(methods) :]):
            _share_limits(row)
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
    }
