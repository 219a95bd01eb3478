"""Tickets that are constructed beside those that are found: accuracy, and the weights they share, against chance."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth_runner.report.plots import draw_accuracy
from lth_runner.report.points import Description, Point
from lth_runner.report.series import series
from lth_runner.report.style import close_limits, curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION_WIDTH = 150  # characters


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """Three panels over the same axis: accuracy, the highest accuracies closely, and the weights shared.

    Args:
        points: curve, the axis, accuracy; overlap_sums, the fraction of the constructed ticket's weights that the
            others keep too, and overlap_sums_chance, the same of random masks, dotted.
        description: axis and axis_label, its name in the points and for people; target_accuracy, of the trained
            network, a dashed line; labels, names of the curves for people; caption, how the points were made, above
            the panels.
    """
    accuracy, shared, chance = (
        series(points, description["axis"], value) for value in ("accuracy", "overlap_sums", "overlap_sums_chance")
    )
    looks = curve_looks(accuracy, description["labels"])
    level = 100 * description["target_accuracy"]
    with panels(columns=3, height=3.6) as (drawn, axes):
        whole, close, overlap = axes
        for panel in (whole, close):
            draw_accuracy(panel, accuracy, looks)
            panel.axhline(level, color="#444444", linestyle="--", linewidth=1, label="target network")
        whole.set_ylim(0, 100)
        close.set_ylim(*close_limits([level, *(100 * y for curve in accuracy.values() for y in curve.mean)]))
        draw_accuracy(overlap, shared, looks)
        for curve in chance.values():
            overlap.plot(curve.x, 100 * curve.mean, color="#000000", linestyle=":", linewidth=1.2, zorder=3)
        overlap.plot([], [], color="#000000", linestyle=":", linewidth=1.2, label="shared by chance")
        overlap.set_ylabel("constructed weights found too (%)")
        overlap.set_ylim(bottom=0)
        for panel in axes:
            panel.set_xlabel(description["axis_label"])
            panel.set_xticks(sorted({x for curve in accuracy.values() for x in curve.x}))
        drawn.suptitle(textwrap.fill(description["caption"], CAPTION_WIDTH), fontsize=8)
        legend_below(drawn, axes)
    return drawn
