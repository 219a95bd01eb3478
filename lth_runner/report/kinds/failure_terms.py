"""What failures are made of: their share against n beside the two terms, and measured over predicted sums below."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.laws import LAW_STYLE
from lth_runner.report.points import Description, Point
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATIOS = 0.5, 2.0
TICKS = 0.5, 0.7, 1.0, 1.4, 2.0


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """A column per panel; ratios beyond the axis are cut off.

    Args:
        points: panel, curve, n, share with share_low and share_high, floor, tilted_term, tilted_ratio with its low and
            high, given_ratio and averaged_ratio.
        description: panels and labels, names for people; within, the half height of the grey band around 1.
    """
    names = description["panels"]
    looks = curve_looks(description["labels"], description["labels"])
    with panels(columns=len(names), rows=2, height=2.9) as (drawn, axes):
        for at, name in enumerate(names):
            here = [point for point in points if point["panel"] == name]
            _shares(axes[at], here, looks)
            axes[at].set_title(names[name])
            _ratios(axes[len(names) + at], here, looks, description["within"])
            axes[len(names) + at].set_xlabel("n, numbers offered per weight")
        axes[0].set_ylabel("share that fails")
        axes[len(names)].set_ylabel("measured / predicted sum")
        axes[0].plot([], [], label="saddlepoint term + reach floor", **LAW_STYLE)
        axes[0].plot([], [], color="#888888", linestyle="--", linewidth=1, label="reach floor alone")
        axes[0].plot([], [], color="#888888", linestyle=":", linewidth=1.2, label="below: averaged term + floor")
        axes[0].plot(
            [], [], color="#888888", linestyle="-.", linewidth=1, label="below: normal term given numbers + floor"
        )
        legend_below(drawn, axes)
    return drawn


def _shares(ax: "Axes", points: Sequence[Point], looks: Mapping[str, Mapping[str, Any]]) -> None:
    for name, look in _there(points, looks):
        n, y, low, high, floor, term = _columns(
            points, name, ("n", "share", "share_low", "share_high", "floor", "tilted_term")
        )
        ax.errorbar(n, y, np.stack([y - low, high - y]), linestyle="none", elinewidth=1, **look)
        ax.plot(n, floor, color=look["color"], linestyle="--", linewidth=1)
        ax.plot(n, term + floor, **LAW_STYLE)
    ax.set_yscale("log")


def _ratios(ax: "Axes", points: Sequence[Point], looks: Mapping[str, Mapping[str, Any]], within: float) -> None:
    ax.axhspan(1 / (1 + within), 1 + within, color="#eeeeee", zorder=0)
    ax.axhline(1, color="#444444", linewidth=1)
    for name, look in _there(points, looks):
        n, ratio, low, high, given, averaged = _columns(
            points, name, ("n", "tilted_ratio", "tilted_low", "tilted_high", "given_ratio", "averaged_ratio")
        )
        ax.errorbar(n, ratio, np.stack([ratio - low, high - ratio]), linestyle="none", elinewidth=1, **look)
        ax.plot(n, averaged, color=look["color"], linestyle=":", linewidth=1.2)
        ax.plot(n, given, color=look["color"], linestyle="-.", linewidth=1)
    ax.set_yscale("log")
    ax.set_ylim(*RATIOS)
    ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    ax.minorticks_off()


def _there(points: Sequence[Point], looks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The curves that have points here."""
    present = {point["curve"] for point in points}
    return [(name, look) for name, look in looks.items() if name in present]


def _columns(points: Sequence[Point], curve: str, names: Sequence[str]) -> list[np.ndarray]:
    here = [point for point in points if point["curve"] == curve]
    return [np.array([point[name] for point in here], float) for name in names]
