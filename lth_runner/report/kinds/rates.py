"""What is lost against bits per weight: methods as they are and entropy-coded, and the laws that bound them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_runner.report.points import Description, Point
from lth_runner.report.series import Series, series
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CODED = ", coded"  # at the end of a curve's name: the same tickets, masks and indices entropy-coded
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
PANEL_WIDTH = 50  # characters of a caption above one panel


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """One panel per measure over the bits; coded tickets are hollow and dashed, in the colour of those as they are.

    Args:
        points: curve, bits, and the columns that the panels name.
        description: panels, a list of y (column), y_label, y_scale ("log", or "percent": fractions in percent),
            less_from (null, or what y is subtracted from), y_limits (least and greatest y shown; if not there, all),
            level (null, or a dotted line's height and label); laws,
            names of the curves that are drawn as lines; labels; x_limits, least and most bits shown; caption.
    """
    asked: Sequence[Mapping[str, Any]] = description["panels"]
    laws: Sequence[str] = description["laws"]
    names = [str(point["curve"]).removesuffix(CODED) for point in points if point["curve"] not in laws]
    looks = curve_looks(names, description["labels"])
    with panels(columns=2, rows=-(-len(asked) // 2), height=3.4) as (drawn, axes):
        for panel, place in zip(asked, axes, strict=False):
            _draw(place, panel, series(points, "bits", panel["y"]), looks, laws)
            place.set_xlim(*description["x_limits"])
            place.set_xlabel("bits per weight")
        for place in axes[len(asked) :]:
            place.set_axis_off()
        drawn.suptitle(textwrap.fill(description["caption"], 2 * PANEL_WIDTH), fontsize=8)
        legend_below(drawn, axes)
    return drawn


def _draw(
    axes: "Axes",
    panel: Mapping[str, Any],
    curves: Mapping[str, Series],
    looks: Mapping[str, Mapping[str, Any]],
    laws: Sequence[str],
) -> None:
    factor = 100 if panel["y_scale"] == "percent" else 1
    for name, curve in curves.items():
        y = factor * curve.mean if panel["less_from"] is None else panel["less_from"] - curve.mean
        if name in laws:
            style = STYLES[laws.index(name) % len(STYLES)]
            axes.plot(curve.x, y, color="#777777", linewidth=1, linestyle=style, label=name, zorder=1)
        elif name.endswith(CODED):
            look = {**looks[name.removesuffix(CODED)], "label": None, "linestyle": "--", "fillstyle": "none"}
            axes.plot(curve.x, y, **look)
        else:
            axes.plot(curve.x, y, **looks[name])
    if panel["level"] is not None:
        height, label = panel["level"]
        axes.axhline(factor * height, color="#444444", linestyle=":", linewidth=1, label=label)
    if panel.get("y_limits") is not None:
        axes.set_ylim(*(factor * limit for limit in panel["y_limits"]))
    axes.set_ylabel(panel["y_label"])
    if panel["y_scale"] == "log":
        axes.set_yscale("log")
