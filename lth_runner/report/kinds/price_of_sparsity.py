"""What sparse subsets cost: bits of a mask and errors, of one target and in guarantees, and masks at equal error."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.laws import HEIGHT, LAW_STYLE
from lth_runner.report.points import Description, Point
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """Three panels, whose curves have looks of their own.

    Args:
        points: panel ("errors", "guarantee" or "bits"), curve, and of the first two epsilon with its low and high,
            entropy, and law where there is one; of the third density, coded_bits and any_size.
        description: panels, by name the labels of its curves.
    """
    labels = description["panels"]
    looks = curve_looks([label for part in labels.values() for label in part.values()], {})
    with panels(columns=3, height=HEIGHT) as (drawn, axes):
        for ax, (panel, names) in zip(axes, labels.items(), strict=True):
            for name, label in names.items():
                here = [point for point in points if (point["panel"], point["curve"]) == (panel, name)]
                DRAW[panel](ax, here, looks[label])
        _errors_axes(axes[0])
        _guarantee_axes(axes[1], points)
        _bits_axes(axes[2])
        legend_below(drawn, axes)
    return drawn


def _bits_of(point: Point, column: str) -> float:
    return math.log2(1 / point[column])


def _errors(ax: "Axes", points: Sequence[Point], look: Mapping[str, Any]) -> None:
    bits = np.array([p["entropy"] for p in points])
    x, low, high = (
        np.array([_bits_of(p, column) for p in points]) for column in ("epsilon", "epsilon_high", "epsilon_low")
    )
    ax.errorbar(x, bits / x, np.stack([bits / x - bits / high, bits / low - bits / x]), elinewidth=1, **look)
    law = [(_bits_of(p, "law"), p["entropy"] / _bits_of(p, "law")) for p in points if p["law"] is not None]
    ax.plot(*zip(*law, strict=True), **LAW_STYLE)


def _guarantee(ax: "Axes", points: Sequence[Point], look: Mapping[str, Any]) -> None:
    x, low, high = (
        np.array([_bits_of(p, column) for p in points]) for column in ("epsilon", "epsilon_high", "epsilon_low")
    )
    y = [p["entropy"] for p in points]
    ax.errorbar(x, y, xerr=np.stack([x - low, high - x]), elinewidth=1, **look)


def _bits(ax: "Axes", points: Sequence[Point], look: Mapping[str, Any]) -> None:
    x, y = ([p[column] for p in points] for column in ("density", "coded_bits"))
    ax.plot(x, y, **look)
    at = next(place for place, point in enumerate(points) if point["any_size"])
    ax.plot(x[at], y[at], marker="o", markersize=10, markerfacecolor="none", color=look["color"], linestyle="none")


DRAW = {"errors": _errors, "guarantee": _guarantee, "bits": _bits}


def _errors_axes(ax: "Axes") -> None:
    ax.axhline(1, color="#444444", linewidth=1)
    ax.plot([], [], label="law given the numbers, nothing fitted", **LAW_STYLE)
    ax.set_xlabel("log2(1 / median error)")
    ax.set_ylabel("n H2(k / n) / log2(1 / error)")
    ax.set_ylim(0.9, 1.7)
    ax.set_title("one target")


def _guarantee_axes(ax: "Axes", points: Sequence[Point]) -> None:
    here = [point for point in points if point["panel"] == "guarantee"]
    label = "two logs: the square of log2(1 / error), through the first point"
    for name in dict.fromkeys(point["curve"] for point in here):
        curve = [point for point in here if point["curve"] == name]
        start, stop = (_bits_of(point, "epsilon") for point in (curve[0], curve[-1]))
        x = np.linspace(start, stop, 50)
        ax.plot(x, curve[0]["entropy"] * (x / start) ** 2, color="#888888", linestyle="--", linewidth=1, label=label)
        label = "_"  # named once
    ax.set_ylim(0, 1.4 * max(point["entropy"] for point in here))
    ax.set_xlabel("log2(1 / error)")
    ax.set_ylabel("n H2(k / n), bits of a mask")
    ax.set_title("failure probability = error")


def _bits_axes(ax: "Axes") -> None:
    ax.plot([], [], marker="o", markersize=10, markerfacecolor="none", color="#888888", linestyle="none",
            label="subsets of any size")  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel("share kept, k / n (left: k = 1)")
    ax.set_ylabel("bits of the coded mask")
    ax.set_title("masks of one weight at equal error")
    ax.set_ylim(bottom=0)
