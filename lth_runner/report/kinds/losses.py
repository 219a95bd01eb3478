"""Losses against a size on logarithmic axes, a panel for each kind of loss, and accuracies beside them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.plots import band, draw_accuracy
from lth_runner.report.points import Description, Point
from lth_runner.report.series import Series, series
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """Means over the seeds, least to greatest shaded; in panels of losses the range of the slopes is shaded.

    Args:
        points: curve, the axis, and the values of the panels; values of 0 or less have no place on a logarithmic axis.
        description: axis and axis_label, its name in the points and for people; panels, each with the value that it
            draws, the label of its axis, the curves that it shows, and log, whether its axis is logarithmic (accuracies
            are not); fit, the range of the slopes, or null; labels, names of the curves for people.
    """
    looks = curve_looks([name for panel in description["panels"] for name in panel["curves"]], description["labels"])
    with panels(columns=len(description["panels"]), height=3.4) as (drawn, axes):
        for ax, panel in zip(axes, description["panels"], strict=True):
            found = series(points, description["axis"], panel["value"])
            shown = {name: found[name] for name in panel["curves"] if name in found}
            ax.set_xscale("log")
            ax.set_xlabel(description["axis_label"])
            if panel["log"]:
                _losses(ax, shown, looks)
                if description["fit"] is not None:
                    ax.axvspan(*description["fit"], color="#000000", alpha=0.05, linewidth=0)
            else:
                draw_accuracy(ax, shown, looks)
            ax.set_ylabel(panel["label"] + ("" if panel["log"] else " (%)"))
        legend_below(drawn, axes)
    return drawn


def _losses(ax: "Axes", curves: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]) -> None:
    ax.set_yscale("log")
    for name, curve in curves.items():
        above = curve.low > 0
        x, mean, low, high = (
            np.where(above, column, np.nan) for column in (curve.x, curve.mean, curve.low, curve.high)
        )
        ax.plot(x, mean, **looks[name])
        band(ax, x, low, high, curve.spread, looks[name])
