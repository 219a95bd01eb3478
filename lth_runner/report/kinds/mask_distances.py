"""How far the masks of a training are from each other: a heat map per method, and where the ticket is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.points import Description, Point
from lth_runner.report.style import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DARK = 0.5  # share of the largest distance from which numbers on it are white
MOST_NUMBERS = 10  # periods whose distances are written into the map
MOST_TICKS = 7  # labels of an axis that stand side by side where there are more periods


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """A panel per method; distances are means over the seeds, all panels in one scale of colours.

    Args:
        points: curve, row and column (the two periods' ends), and distance.
        description: panels, the titles by the curves' names; drawn, by curve the end of the period after which its
            ticket is drawn, mean over the seeds; agree, by curve the share of seeds whose masks agreed by then; most,
            by curve the distance up to which masks agree; axis_label, of both axes.
    """
    known = [point for point in points if point.get("distance") is not None]
    found = {name: _matrix([point for point in known if point["curve"] == name]) for name in description["panels"]}
    top = max((float(matrix.max()) for _, matrix in found.values()), default=0.0) or 1.0
    with panels(columns=len(found), height=3.6) as (drawn, axes):
        for ax, (name, (ends, matrix)) in zip(axes, found.items(), strict=True):
            image = _draw(ax, ends, matrix, top)
            agreed = f"masks within {description['most'][name]:g}"
            if description["agree"][name] < 1:
                agreed = f"not always {agreed}"
            where = f"drawn after {description['drawn'][name]:.3g} {description['axis_label']}, {agreed}"
            ax.set_title(f"{description['panels'][name]}\n{where}")
            ax.set_xlabel(description["axis_label"])
            ax.set_ylabel(description["axis_label"])
            drawn.colorbar(image, ax=ax, label="share of units that differ", shrink=0.8)
    return drawn


def _matrix(points: Sequence[Point]) -> tuple[list[float], np.ndarray]:
    """The periods' ends, and the mean distances between them."""
    ends = sorted({point["row"] for point in points})
    places = {end: i for i, end in enumerate(ends)}
    sums, counts = np.zeros((len(ends), len(ends))), np.zeros((len(ends), len(ends)))
    for point in points:
        at = places[point["row"]], places[point["column"]]
        sums[at] += point["distance"]
        counts[at] += 1
    return ends, sums / np.maximum(counts, 1)


def _draw(ax: "Axes", ends: Sequence[float], matrix: np.ndarray, top: float) -> Any:
    image = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=top, origin="upper")
    ax.grid(visible=False)
    shown = range(0, len(ends), 1 if len(ends) <= MOST_NUMBERS else -(-len(ends) // MOST_TICKS))
    ax.set_xticks(shown, [f"{ends[i]:.3g}" for i in shown])
    ax.set_yticks(shown, [f"{ends[i]:.3g}" for i in shown])
    if len(ends) <= MOST_NUMBERS:
        for i, line in enumerate(matrix):
            for j, distance in enumerate(line):
                colour = "#ffffff" if distance > DARK * top else "#000000"
                ax.text(j, i, f"{100 * distance:.0f}", ha="center", va="center", fontsize=6, color=colour)
    return image
