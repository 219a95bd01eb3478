"""What figures of laws share: measured curves with intervals, and formulas beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMULA_STYLES = ("--", ":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))
# above the curves and black: it lies on them where it is right
LAW_STYLE: Mapping[str, Any] = {"color": "#000000", "linestyle": (0, (1, 1.5)), "linewidth": 1.3, "zorder": 3}
LAW_LABEL = "Poisson law, nothing fitted"
HEIGHT = 3.7  # inches: room for a legend of several rows
MOST_MARKERS = 24  # across a panel: more run into each other


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A curve with an interval at each point.

    Attributes:
        x, y, low, high: (K,) float64.
        fit: (x, y) of a line that was fitted to it, or None.
        law: (x, y) of what a law predicts for it, nothing fitted, or None.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fit: tuple[np.ndarray, np.ndarray] | None = None
    law: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One set of axes: measured curves and formulas beside them, each by its label.

    Attributes:
        title: may be empty.
        measured: drawn with markers and error bars.
        formulas: (x, y), drawn as grey lines.
    """

    title: str
    measured: Mapping[str, Measured]
    formulas: Mapping[str, tuple[np.ndarray, np.ndarray]]


def line(pair: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    """A formula's x and y, as a description holds them."""
    x, y = (np.array(values, float) for values in pair)
    return x, y


def predicted(points: Sequence[Mapping[str, Any]], x: str, y: str) -> tuple[np.ndarray, np.ndarray] | None:
    """A law's line over the points that have it; None where fewer than two do."""
    there = [(point[x], point[y]) for point in points if point.get(y) is not None]
    return line(list(zip(*there, strict=True))) if len(there) > 1 else None


def formula_styles(parts: Sequence[Panel]) -> dict[str, Any]:
    """A dash pattern for each formula, the same in every panel."""
    return dict(zip([label for panel in parts for label in panel.formulas], FORMULA_STYLES, strict=False))


def draw_panel(
    ax: "Axes", panel: Panel, looks: Mapping[str, Mapping[str, Any]], styles: Mapping[str, Any], connected: bool
) -> None:
    """Curves with error bars, every so many of them where they would run into each other, and grey formulas."""
    ax.set_title(panel.title)
    widest = max((float(np.ptp(curve.x)) for curve in panel.measured.values()), default=0.0)
    for label, curve in panel.measured.items():
        bars = np.stack([curve.y - curve.low, curve.high - curve.y])
        every = (
            max(1, round(widest / MOST_MARKERS / (np.ptp(curve.x) / (curve.x.size - 1))))
            if connected and curve.x.size > 1
            else 1
        )
        line = "-" if connected else "none"
        ax.errorbar(
            curve.x, curve.y, bars, linestyle=line, elinewidth=1, errorevery=every, markevery=every,
            markerfacecolor=None if connected else "none", **looks[label],
        )  # fmt: skip
        if curve.fit is not None:
            ax.plot(*curve.fit, color=looks[label]["color"], linewidth=1)
        if curve.law is not None:
            ax.plot(*curve.law, **LAW_STYLE)
    if any(curve.law is not None for curve in panel.measured.values()):
        ax.plot([], [], label=LAW_LABEL, **LAW_STYLE)
    for label, (x, y) in panel.formulas.items():
        ax.plot(x, y, color="#444444", linestyle=styles[label], linewidth=1, label=label)
