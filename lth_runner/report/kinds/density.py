"""Accuracy against the fraction of weights kept, whole and close to the top, beside published values."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.plots import draw_accuracy
from lth_runner.report.points import Description, Point
from lth_runner.report.series import Series, kept_fractions, series
from lth_runner.report.style import close_limits, curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION_WIDTH = 100  # characters
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.9, 2.0, 5.0, 10.0)


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """Two panels of the same curves over the fraction really kept: all accuracies, and the highest ones closely.

    Args:
        points: curve, density (asked for), accuracy, kept and offered; fractions and counts.
        description: published, [density, accuracy] pairs of the same curves from elsewhere, drawn hollow in their
            colours; target_accuracy, of the trained network, a dashed line, or null; labels, names of the curves for
            people; caption, how the points were made, above the panels; curves, the names of those that are drawn, in
            their order, or nothing for all.
    """
    curves = over_kept(points)
    if "curves" in description:
        curves = {name: curves[name] for name in description["curves"]}
    published: Mapping[str, Sequence[Sequence[float]]] = description["published"]
    looks = curve_looks(curves, description["labels"])
    densities = [x for curve in curves.values() for x in curve.x] + [x for each in published.values() for x, _ in each]
    with panels(columns=2) as (drawn, axes):
        for panel in axes:
            draw_accuracy(panel, curves, looks)
            for name, pairs in published.items():
                _hollow(panel, sorted((x, y) for x, y in pairs), looks[name])
            if description["target_accuracy"] is not None:
                level = 100 * description["target_accuracy"]
                panel.axhline(level, color="#444444", linestyle="--", linewidth=1, label="trained")
            panel.set_xscale("log")
            _percents(panel, densities)
            panel.set_xlabel("weights kept (%)")
        axes[0].set_ylim(0, 100)
        axes[1].set_ylim(*close_limits(_percentages(curves, description)))
        if published:
            axes[0].plot([], [], "o:", markerfacecolor="none", color="#444444", linewidth=0.8, label="published")
        drawn.suptitle(textwrap.fill(description["caption"], CAPTION_WIDTH), fontsize=8)
        legend_below(drawn, axes)
    return drawn


def over_kept(points: Sequence[Point]) -> dict[str, Series]:
    """Accuracy by curve over what was really kept, which for some searches is less than asked for."""
    curves = {}
    for name, curve in series(points, "density", "accuracy").items():
        fractions = kept_fractions(points, name)
        curves[name] = replace(curve, x=np.array([fractions[x] for x in curve.x]))
    return curves


def _percentages(curves: Mapping[str, Series], description: Description) -> list[float]:
    """All accuracies that are drawn."""
    target = description["target_accuracy"]
    published = [y for pairs in description["published"].values() for _, y in pairs]
    measured = [y for curve in curves.values() for y in curve.mean]
    return [100 * y for y in [*measured, *published, *([] if target is None else [target])]]


def _hollow(axes: "Axes", pairs: Sequence[Sequence[float]], look: Mapping[str, Any]) -> None:
    axes.plot(
        [density for density, _ in pairs],
        [100 * accuracy for _, accuracy in pairs],
        color=look["color"],
        marker=look["marker"],
        label=f"_{look['label']}, published",  # unseen in the legend
        markerfacecolor="none",
        linestyle=":",
        linewidth=0.8,
    )


def _percents(axes: "Axes", densities: Sequence[float]) -> None:
    """Ticks at the round percentages that the curves span."""
    ticks = [tick for tick in TICKS if min(densities) <= tick <= max(densities)]
    ticks = ticks or sorted(set(densities))  # a single density, or two close to each other
    axes.set_xticks(ticks, [f"{100 * tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.fmt_xdata = lambda fraction: f"{100 * fraction:.4g}"
