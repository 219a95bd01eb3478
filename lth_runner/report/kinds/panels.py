"""Several measures of the same curves side by side, each over an axis of its own."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lth_runner.report.laws import FORMULA_STYLES
from lth_runner.report.plots import band
from lth_runner.report.points import Description, Point
from lth_runner.report.series import Series, series
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_WIDTH = 50  # characters of a caption above one panel
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """One panel per measure; means as lines, from the least to the greatest value shaded, or intervals.

    Args:
        points: curve, and the columns that the panels name.
        description: panels, a list of x and y (columns); x_label and y_label (for people, with units); x_scale
            ("linear": with ticks at whole numbers where all points have them, "log", "log2": with ticks at powers of
            two, or "density": logarithmic, fractions in percent); y_scale ("linear", "log", "symlog": logarithmic above
            1 and linear below, or "percent": fractions in percent); y_limits, lowest and highest, each perhaps null;
            interval, if there, two columns between which is shaded; level, a dashed line's height and its label, or
            null; formulas, if there, by label the x and the y of grey lines; part, if there, which points it shows:
            those of that "panel"; where not all curves are drawn, curves, the names of those that are, or without, of
            those that are not. labels, names of the curves for people. caption, above the panels.
    """
    asked: Sequence[Mapping[str, Any]] = description["panels"]
    found = [_curves(points, panel) for panel in asked]
    looks = curve_looks([name for curves in found for name in curves], description["labels"])
    columns = 2 if len(asked) == 4 else min(len(asked), 3)
    with panels(columns=columns, rows=-(-len(asked) // columns), height=3.4) as (drawn, axes):
        for panel, curves, place in zip(asked, found, axes, strict=False):
            _draw(place, panel, curves, looks)
        for place in axes[len(asked) :]:
            place.set_axis_off()
        drawn.suptitle(textwrap.fill(description["caption"], PANEL_WIDTH * columns), fontsize=8)
        legend_below(drawn, axes)
    return drawn


def _curves(points: Sequence[Point], panel: Mapping[str, Any]) -> dict[str, Series]:
    names, part = panel.get("curves"), panel.get("part")
    shown = points if part is None else [point for point in points if point["panel"] == part]
    found = series(shown, panel["x"], panel["y"])
    if "interval" in panel:
        low, high = (series(shown, panel["x"], column) for column in panel["interval"])
        found = {name: replace(curve, low=low[name].mean, high=high[name].mean) for name, curve in found.items()}
    return {
        name: curve
        for name, curve in found.items()
        if (names is None or name in names) and name not in panel.get("without", ())
    }


def _draw(
    axes: "Axes", panel: Mapping[str, Any], curves: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]
) -> None:
    factor = 100 if panel["y_scale"] == "percent" else 1
    for name, curve in curves.items():
        axes.plot(curve.x, factor * curve.mean, **looks[name])
        band(axes, curve.x, factor * curve.low, factor * curve.high, curve.spread or "interval" in panel, looks[name])
    if panel["level"] is not None:
        height, label = panel["level"]
        axes.axhline(factor * height, color="#444444", linestyle="--", linewidth=1, label=label)
    for (label, (x, y)), style in zip(panel.get("formulas", {}).items(), FORMULA_STYLES, strict=False):
        axes.plot(x, y, color="#444444", linestyle=style, linewidth=1, label=label)
    axes.set_xlabel(panel["x_label"])
    axes.set_ylabel(panel["y_label"])
    if panel["y_scale"] in ("log", "symlog"):
        axes.set_yscale(panel["y_scale"])
    axes.set_ylim(*(None if limit is None else factor * limit for limit in panel["y_limits"]))
    if panel["x_scale"] == "linear" and all((curve.x % 1 == 0).all() for curve in curves.values()):
        axes.locator_params("x", integer=True)
    elif panel["x_scale"] == "log":
        axes.set_xscale("log")
    elif panel["x_scale"] == "log2":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    elif panel["x_scale"] == "density":
        _densities(axes, [x for curve in curves.values() for x in curve.x])


def _densities(axes: "Axes", fractions: Sequence[float]) -> None:
    """A logarithmic axis with ticks at round percentages."""
    axes.set_xscale("log")
    ticks = [tick for tick in TICKS if min(fractions) * 0.999 <= tick <= max(fractions) * 1.001]
    ticks = ticks or sorted(set(fractions))  # a single density, or two close to each other
    axes.set_xticks(ticks, [f"{100 * tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.fmt_xdata = lambda fraction: f"{100 * fraction:.4g}"
