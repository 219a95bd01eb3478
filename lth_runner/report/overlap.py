"""Tickets that are constructed beside those that are found: accuracy, and the weights they share, against chance."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lth_runner.report.plots import draw_accuracy
from lth_runner.report.series import Series
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION_WIDTH = 100  # characters


def overlap_figure(
    accuracy: Mapping[str, Series],
    shared: Mapping[str, Series],
    chance: Mapping[str, Series],
    target_accuracy: float,
    axis_label: str,
    labels: Mapping[str, str],
    caption: str,
) -> "Figure":
    """Two panels over the same axis.

    Args:
        accuracy: over the axis, fractions.
        shared: fraction of the constructed ticket's weights that the others keep too.
        chance: the same of a random mask, drawn dotted in the curve's colour.
        target_accuracy: of the trained network; a dashed line.
        labels: names of the curves for people.
        caption: how the points were made; it stands above the panels.
    """
    looks = curve_looks(accuracy, labels)
    with panels(columns=2, height=3.6) as (figure, (left, right)):
        draw_accuracy(left, accuracy, looks)
        left.axhline(
            100 * target_accuracy, color="#444444", linestyle="--", linewidth=1, label="target network, trained"
        )
        draw_accuracy(right, shared, looks)
        for name, curve in chance.items():
            right.plot(curve.x, 100 * curve.mean, color=looks[name]["color"], linestyle=":", linewidth=1)
        right.plot([], [], color="#444444", linestyle=":", linewidth=1, label="by chance (same colour)")
        right.set_ylabel("constructed weights found too (%)")
        right.set_ylim(bottom=0)
        for panel in (left, right):
            panel.set_xlabel(axis_label)
            panel.set_xticks(sorted({x for curve in accuracy.values() for x in curve.x}))
        figure.suptitle(textwrap.fill(caption, CAPTION_WIDTH), fontsize=8)
        legend_below(figure, (left, right))
    return figure
