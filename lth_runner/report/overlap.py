"""Tickets that are constructed beside those that are found: accuracy, and the weights they share, against chance."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lth_runner.report.plots import draw_accuracy
from lth_runner.report.series import Series
from lth_runner.report.style import CLOSE, curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION_WIDTH = 150  # characters


def overlap_figure(
    accuracy: Mapping[str, Series],
    shared: Mapping[str, Series],
    chance: Mapping[str, Series],
    target_accuracy: float,
    axis_label: str,
    labels: Mapping[str, str],
    caption: str,
) -> "Figure":
    """Three panels over the same axis: accuracy, accuracy above 90 %, and the weights shared.

    Args:
        accuracy: over the axis, fractions.
        shared: fraction of the constructed ticket's weights that the others keep too.
        chance: the same of random masks, by the same names; dotted.
        target_accuracy: of the trained network; a dashed line.
        labels: names of the curves for people.
        caption: how the points were made; it stands above the panels.
    """
    looks = curve_looks(accuracy, labels)
    with panels(columns=3, height=3.6) as (figure, axes):
        whole, close, overlap = axes
        for panel in (whole, close):
            draw_accuracy(panel, accuracy, looks)
            panel.axhline(100 * target_accuracy, color="#444444", linestyle="--", linewidth=1, label="target network")
        whole.set_ylim(0, 100)
        close.set_ylim(*CLOSE)
        draw_accuracy(overlap, shared, looks)
        for curve in chance.values():
            overlap.plot(curve.x, 100 * curve.mean, color="#000000", linestyle=":", linewidth=1.2, zorder=3)
        overlap.plot([], [], color="#000000", linestyle=":", linewidth=1.2, label="shared by chance")
        overlap.set_ylabel("constructed weights found too (%)")
        overlap.set_ylim(bottom=0)
        for panel in axes:
            panel.set_xlabel(axis_label)
            panel.set_xticks(sorted({x for curve in accuracy.values() for x in curve.x}))
        figure.suptitle(textwrap.fill(caption, CAPTION_WIDTH), fontsize=8)
        legend_below(figure, axes)
    return figure
