"""Accuracy and weight error of methods on one target, as curves over one setting."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.laws import LAW_LABEL, LAW_STYLE
from lth_runner.report.plots import band, draw_accuracy
from lth_runner.report.points import Description, Point
from lth_runner.report.series import Series, floor_of_zeros, series
from lth_runner.report.style import curve_looks, legend_below, load_matplotlib, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MEASURES = "accuracy", "weight_error_median", "weight_error_max", "weight_error_median_law"


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """Test accuracy, and weight error where there is any, against a setting, one colour per curve.

    Args:
        points: of one run or of several: curve, the axis, accuracy, and perhaps weight_error_median,
            weight_error_max and weight_error_median_law, what a law predicts.
        description: axis and axis_label, its name in the points and for people, with its unit; log_axis, to draw it
            logarithmically; target_accuracy, a dashed line, and epsilon, the allowed weight error, a dotted one, or
            null; labels, names of the curves for people, where they should differ.
    """
    load_matplotlib()
    from matplotlib.ticker import MaxNLocator

    accuracy, median, largest, law = (series(points, description["axis"], value) for value in MEASURES)
    target, epsilon = description["target_accuracy"], description["epsilon"]
    looks = curve_looks([*accuracy, *median], description["labels"])
    with panels(columns=2 if median else 1) as (drawn, axes):
        draw_accuracy(axes[0], accuracy, looks)
        if target is not None:
            axes[0].axhline(100 * target, color="#444444", linestyle="--", linewidth=1, label="target network")
        if median:
            _errors(axes[1], median, largest, law, looks)
            if epsilon is not None:
                axes[1].axhline(epsilon, color="#444444", linestyle=":", linewidth=1, label=f"epsilon = {epsilon:g}")
        for panel in axes:
            panel.set_xlabel(description["axis_label"])
            if description["log_axis"]:
                panel.set_xscale("log")
            elif all((curve.x % 1 == 0).all() for curve in accuracy.values()):
                panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(drawn, axes)
    return drawn


def _errors(
    axes: "Axes",
    median: Mapping[str, Series],
    largest: Mapping[str, Series],
    law: Mapping[str, Series],
    looks: Mapping[str, Mapping[str, Any]],
) -> None:
    """Median errors as lines, largest ones lighter and dashed, on a log axis that shows exact zeros at its floor.

    What a law predicts of the median is dotted.
    """
    lift = zeros_lifted(axes, [*median.values(), *largest.values()])
    for name, curve in median.items():
        axes.plot(curve.x, lift(curve.mean), **looks[name])
        band(axes, curve.x, lift(curve.low), lift(curve.high), curve.spread, looks[name])
    for name, curve in largest.items():
        axes.plot(curve.x, lift(curve.mean), color=looks[name]["color"], linestyle="--", linewidth=1, alpha=0.6)
    for curve in law.values():
        axes.plot(curve.x, curve.mean, **LAW_STYLE)
    axes.plot([], [], color="#888888", label="median error")
    if law:
        axes.plot([], [], label=LAW_LABEL, **LAW_STYLE)
    axes.plot([], [], color="#888888", linestyle="--", linewidth=1, alpha=0.6, label="largest error")


def zeros_lifted(axes: "Axes", curves: Sequence[Series]) -> Callable[[np.ndarray], np.ndarray]:
    """Makes axes of errors logarithmic, with exact zeros at a floor and marked there; gives what lifts values to it."""
    axes.set_yscale("log")
    axes.set_ylabel("weight error, absolute")
    floor = floor_of_zeros(curves)
    if floor is None:
        return lambda values: values
    zeros = sorted({x for curve in curves for x in curve.x[curve.mean == 0]})
    axes.plot(
        zeros, [floor] * len(zeros), "o", markersize=9, markerfacecolor="none", color="#444444", label="exactly 0"
    )
    axes.fmt_ydata = lambda value: "0" if value <= floor else f"{value:.4g}"  # what stands there is no value
    return lambda values: np.maximum(values, floor)
