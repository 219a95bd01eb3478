"""Methods one below the other, network by network: their mean accuracy as a dot, its range over seeds as a line."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth_runner.report.points import Description, Point
from lth_runner.report.series import Series, series
from lth_runner.report.style import curve_looks, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION_WIDTH = 100  # characters
ROW_IN, FRAME_IN = 0.28, 1.0  # inches: of a row, and of all that stands around them
FAR = 10.0  # percent below the best mean, from which on a dot would leave no room to tell the others apart
RIGHT = 1.02  # where the notes stand, in widths of a panel


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """A panel for each network, the same axis in all; means far below the best stand at its edge as a number.

    Args:
        points: network, curve (the method), accuracy, a fraction, and the column of the note, one for each seed.
        description: networks, in their order; labels, of the methods for people; note and note_label, a column whose
            mean stands beside each row, and its name for people; caption, above the panels.
    """
    networks: Sequence[str] = description["networks"]
    by_network = {name: [{**point, "x": 0} for point in points if str(point["network"]) == name] for name in networks}
    accuracies = {name: series(own, "x", "accuracy") for name, own in by_network.items()}
    notes = {name: series(own, "x", description["note"]) for name, own in by_network.items()}
    methods = list(dict.fromkeys(name for own in accuracies.values() for name in own))
    limits = _limits([curve for own in accuracies.values() for curve in own.values()])
    with panels(columns=len(networks), height=ROW_IN * len(methods) + FRAME_IN) as (drawn, axes):
        for axis, network in zip(axes, networks, strict=True):
            axis.set_xlim(*limits)
            _draw(axis, accuracies[network], methods, description)
            for row, name in enumerate(methods):
                axis.text(
                    RIGHT, row, f"{notes[network][name].mean[0]:.2f}", transform=axis.get_yaxis_transform(), va="center"
                )
            axis.text(RIGHT, 1.02, description["note_label"], transform=axis.transAxes, fontsize=7)
            axis.set_title(network)
        for axis in axes[1:]:
            axis.tick_params(labelleft=False)
        drawn.suptitle(textwrap.fill(description["caption"], CAPTION_WIDTH), fontsize=8)
    return drawn


def _limits(curves: Sequence[Series]) -> tuple[int, int]:
    """Whole percents around the ranges of all means that are near the best."""
    best = max(curve.mean[0] for curve in curves)
    near = [curve for curve in curves if 100 * (best - curve.mean[0]) < FAR]
    lowest, highest = min(curve.low[0] for curve in near), max(curve.high[0] for curve in near)
    return math.ceil(100 * lowest) - 1, math.floor(100 * highest) + 1


def _draw(axes: "Axes", curves: dict[str, Series], methods: Sequence[str], description: Description) -> None:
    looks = curve_looks(methods, description["labels"])
    lowest = axes.get_xlim()[0]
    for row, name in enumerate(methods):
        curve = curves[name]
        low, mean, high = (100 * float(values[0]) for values in (curve.low, curve.mean, curve.high))
        if mean < lowest:
            axes.annotate(f"\u2190 {mean:.1f}", (lowest, row), (4, 0), textcoords="offset points", va="center")
            continue
        axes.hlines(row, low, high, colors=looks[name]["color"], linewidth=3, alpha=0.35)
        axes.plot([mean], [row], linestyle="none", **looks[name])
    axes.set_yticks(range(len(methods)), [looks[name]["label"] for name in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.set_xlabel("test accuracy (%)")
