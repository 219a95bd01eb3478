"""Measured over predicted quantiles of the best error, against n: a row of panels per kind of target."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.points import Description, Point
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMITS = 0.7, 1.5
TICKS = 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4
BESIDE = 1.025  # factor on n by which curves stand beside each other


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """Ratios given the numbers with intervals, averaged ones as dotted lines; what lies beyond the axis is cut off.

    Args:
        points: curve, panel, n, level, given_ratio, given_low, given_high and averaged_ratio.
        description: levels, one column of panels each; panels and labels, names for people.
    """
    levels, rows = description["levels"], description["panels"]
    looks = curve_looks(description["labels"], description["labels"])
    with panels(columns=len(levels), rows=len(rows), height=2.1) as (drawn, axes):
        for at, ax in enumerate(axes):
            row, level = list(rows)[at // len(levels)], levels[at % len(levels)]
            here = [point for point in points if (point["panel"], point["level"]) == (row, level)]
            _draw(ax, here, looks)
            ax.set_title(f"{rows[row]}, {100 * level:g} % quantile")
            if at % len(levels) == 0:
                ax.set_ylabel("measured / predicted")
            if at // len(levels) == len(rows) - 1:
                ax.set_xlabel("n, numbers offered")
        axes[0].plot([], [], color="#888888", linestyle=":", label="averaged over numbers, none drawn")
        legend_below(drawn, axes)
    return drawn


def _draw(ax: "Axes", points: Sequence[Point], looks: Mapping[str, Mapping[str, Any]]) -> None:
    ax.axhspan(0.95, 1.05, color="#eeeeee", zorder=0)
    ax.axhline(1, color="#444444", linewidth=1)
    for place, name in enumerate(looks):
        here = [point for point in points if point["curve"] == name]
        if not here:
            continue
        n, ratio, low, high, other = (
            np.array([point[column] for point in here], float)
            for column in ("n", "given_ratio", "given_low", "given_high", "averaged_ratio")
        )
        x = n * BESIDE ** (place - (len(looks) - 1) / 2)
        bars = np.stack([ratio - low, high - ratio])
        ax.errorbar(x, ratio, bars, linestyle="none", elinewidth=1, **looks[name])
        ax.plot(x, other, color=looks[name]["color"], linestyle=":", linewidth=1.2)
    ax.set_xscale("log")
    numbers = sorted({point["n"] for point in points})
    ax.set_xticks(numbers, [f"{n:g}" for n in numbers])
    ax.set_yscale("log")
    ax.set_ylim(*LIMITS)
    ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    ax.minorticks_off()
