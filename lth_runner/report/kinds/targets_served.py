"""What n serves many targets: with a mask for each, with one mask for all of d, and errors of the latter over n / d."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.laws import HEIGHT, LAW_LABEL, LAW_STYLE
from lth_runner.report.points import Description, Point
from lth_runner.report.style import COLOURS, MARKERS, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """Three panels; predictions in black dots.

    Args:
        points: panel "fresh", "one" and "every" with curve, label, targets, epsilon, n, n_low, n_high and n_law; panel
            "errors" with curve, targets, n, error, low, high and law.
        description: one_share, of sets in the last two panels.
    """
    with panels(columns=3, height=HEIGHT) as (drawn, axes):
        _fresh(axes[0], [point for point in points if point["panel"] == "fresh"])
        _one(axes[1], [point for point in points if point["panel"] in ("one", "every")])
        _errors(axes[2], [point for point in points if point["panel"] == "errors"])
        axes[1].set_title(f"one mask for d targets ({100 * description['one_share']:g} % of sets)")
        axes[0].plot([], [], label=LAW_LABEL, **LAW_STYLE)
        legend_below(drawn, axes)
    return drawn


def _fresh(ax: "Axes", points: Sequence[Point]) -> None:
    for place, key in enumerate(dict.fromkeys((p["curve"], p["epsilon"], p["label"]) for p in points)):
        here = [p for p in points if (p["curve"], p["epsilon"]) == key[:2]]
        _line(ax, here, place, f"{key[2]}, epsilon {key[1]:g}")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("targets")
    ax.set_ylabel("n, numbers in a row")
    share = {point["share"] for point in points}
    ax.set_title("a mask for each target" + "".join(f" ({100 * part:g} % of sets)" for part in share))


def _one(ax: "Axes", points: Sequence[Point]) -> None:
    for place, key in enumerate(dict.fromkeys((p["panel"], p["curve"]) for p in points), 4):
        here = [p for p in points if (p["panel"], p["curve"]) == key]
        words = f", epsilon {here[0]['epsilon']:g}" if key[0] == "every" else ""
        _line(ax, here, place, here[0]["label"] + words)
    single = [p for p in points if p["panel"] == "one"]
    least = min(single, key=lambda p: (p["targets"], p["epsilon"]))
    d = np.linspace(1, max(p["targets"] for p in single), 50)
    ax.plot(
        d,
        least["n"] * (d / least["targets"]) ** 3,
        color="#444444",
        linestyle="--",
        linewidth=1,
        label=f"d^3, from d = {least['targets']}, epsilon {least['epsilon']:g}",
    )
    ax.set_ylim(0, 1.1 * max(p["n"] for p in points))
    ax.set_xlabel("d, targets of one mask")
    ax.set_ylabel("n, vectors")


def _errors(ax: "Axes", points: Sequence[Point]) -> None:
    for place, d in enumerate(dict.fromkeys(p["targets"] for p in points)):
        here = [p for p in points if p["targets"] == d]
        x = np.array([p["n"] / d for p in here])
        y, high, low, law = (np.array([math.log2(1 / p[c]) for p in here]) for c in ("error", "low", "high", "law"))
        ax.errorbar(x, y, np.stack([y - low, high - y]), linestyle="none", elinewidth=1, **_look(place))
        ax.plot(x, law, **LAW_STYLE)
        ax.annotate(f"d = {d}", (x[-1], y[-1]), xytext=(3, -3), textcoords="offset points", fontsize=7)
    most = max(p["n"] / p["targets"] for p in points)
    ax.plot([0, most], [0, most], color="#444444", linewidth=1, label="n = d log2(1 / error)")
    ax.set_xlabel("n / d")
    ax.set_ylabel("log2(1 / error of the worst of d)")
    ax.set_title("the same masks' errors")


def _line(ax: "Axes", points: Sequence[Point], place: int, label: str) -> None:
    x, n = (np.array([p[column] for p in points], float) for column in ("targets", "n"))
    low, high = (
        np.array([n[at] if p[column] is None else p[column] for at, p in enumerate(points)], float)
        for column in ("n_low", "n_high")
    )
    ax.errorbar(x, n, np.stack([n - low, high - n]), elinewidth=1, label=label, **_look(place))
    law = [(p["targets"], p["n_law"]) for p in points if p["n_law"] is not None]
    if law:
        ax.plot(*zip(*law, strict=True), **LAW_STYLE)


def _look(place: int) -> dict[str, Any]:
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
    }
