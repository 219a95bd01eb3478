"""Accuracy against the fraction of weights kept, whole and close to the top, beside published values."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_runner.report.plots import draw_accuracy
from lth_runner.report.series import Series
from lth_runner.report.style import CLOSE, curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION_WIDTH = 100  # characters
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.9)


def density_figure(
    curves: Mapping[str, Series],
    published: Mapping[str, Sequence[tuple[float, float]]],
    target_accuracy: float | None,
    labels: Mapping[str, str],
    caption: str,
) -> "Figure":
    """Two panels of the same curves, over all accuracies and above 90 %.

    Args:
        curves: accuracy over density, both fractions.
        published: (density, accuracy) of the same curves from elsewhere, drawn hollow in their colours.
        target_accuracy: of the trained network; a dashed line.
        labels: names of the curves for people.
        caption: how the points were made; it stands above the panels.
    """
    looks = curve_looks(curves, labels)
    densities = [x for curve in curves.values() for x in curve.x] + [
        x for pairs in published.values() for x, _ in pairs
    ]
    with panels(columns=2) as (figure, axes):
        for panel in axes:
            draw_accuracy(panel, curves, looks)
            for name, pairs in published.items():
                _hollow(panel, sorted(pairs), looks[name])
            if target_accuracy is not None:
                panel.axhline(100 * target_accuracy, color="#444444", linestyle="--", linewidth=1, label="trained")
            panel.set_xscale("log")
            _percents(panel, densities)
            panel.set_xlabel("weights kept (%)")
        axes[0].set_ylim(0, 100)
        axes[1].set_ylim(*CLOSE)
        if published:
            axes[0].plot([], [], "o:", markerfacecolor="none", color="#444444", linewidth=0.8, label="published")
        figure.suptitle(textwrap.fill(caption, CAPTION_WIDTH), fontsize=8)
        legend_below(figure, axes)
    return figure


def _hollow(axes: "Axes", pairs: Sequence[tuple[float, float]], look: Mapping[str, Any]) -> None:
    axes.plot(
        [density for density, _ in pairs],
        [100 * accuracy for _, accuracy in pairs],
        color=look["color"],
        marker=look["marker"],
        markerfacecolor="none",
        linestyle=":",
        linewidth=0.8,
    )


def _percents(axes: "Axes", densities: Sequence[float]) -> None:
    """Ticks at the round percentages that the curves span."""
    ticks = [tick for tick in TICKS if min(densities) <= tick <= max(densities)]
    axes.set_xticks(ticks, [f"{100 * tick:g}" for tick in ticks])
    axes.minorticks_off()
