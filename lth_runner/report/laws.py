"""Figures of laws: how many random numbers an epsilon costs, and how fast failures vanish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMULA_STYLES = ("--", ":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))
HEIGHT = 3.7  # inches: room for a legend of several rows
MOST_MARKERS = 24  # across a panel: more run into each other


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A curve with an interval at each point.

    Attributes:
        x, y, low, high: (K,) float64.
        fit: (x, y) of a line that was fitted to it, or None.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fit: tuple[np.ndarray, np.ndarray] | None = None


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


def scaling_figure(logarithm: Panel, power: Panel, share: float) -> "Figure":
    """The smallest n against epsilon: where it grows as a logarithm, and on logarithmic axes where as a power."""
    looks = curve_looks([*logarithm.measured, *power.measured], {})
    styles = _formula_styles([logarithm, power])
    with panels(columns=2, height=HEIGHT) as (figure, axes):
        for panel, ax in zip((logarithm, power), axes, strict=True):
            _draw(ax, panel, looks, styles, connected=False)
            ax.set_xscale("log")
            ax.set_xlabel("epsilon, allowed error per weight")
            ax.set_ylabel(f"smallest n for {100 * share:g} % of weights")
            ax.set_xlim(*_span(logarithm, power))
        axes[0].set_ylim(bottom=0)
        axes[1].set_yscale("log")
        legend_below(figure, axes)
    return figure


def failure_figure(parts: Sequence[Panel]) -> "Figure":
    """The share of failures against n on a logarithmic axis; points without a failure are left out."""
    looks = curve_looks([label for panel in parts for label in panel.measured], {})
    styles = _formula_styles(parts)
    with panels(columns=len(parts), height=HEIGHT) as (figure, axes):
        for panel, ax in zip(parts, axes, strict=True):
            _draw(ax, panel, looks, styles, connected=True)
            ax.set_yscale("log")
            ax.set_ylim(_least(panel), 1.5)
            ax.set_xlabel("n, random weights offered per weight")
            ax.set_ylabel("share of weights not within epsilon")
        legend_below(figure, axes)
    return figure


def _formula_styles(parts: Sequence[Panel]) -> dict[str, Any]:
    """A dash pattern for each formula, the same in every panel."""
    return dict(zip([label for panel in parts for label in panel.formulas], FORMULA_STYLES, strict=False))


def _draw(
    ax: "Axes", panel: Panel, looks: Mapping[str, Mapping[str, Any]], styles: Mapping[str, Any], connected: bool
) -> None:
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
    for label, (x, y) in panel.formulas.items():
        ax.plot(x, y, color="#444444", linestyle=styles[label], linewidth=1, label=label)


def _span(*parts: Panel) -> tuple[float, float]:
    """From the largest x to the smallest, with a margin: to the right is more exact."""
    x = np.concatenate(
        [line.x for panel in parts for line in panel.measured.values()]
        + [line[0] for panel in parts for line in panel.formulas.values()]
        or [np.ones(1)]
    )
    return float(x.max()) * 2, float(x.min()) / 2


def _least(panel: Panel) -> float:
    """Half of the least share that was seen: intervals and formulas may reach far below it."""
    shares = np.concatenate([curve.y[curve.y > 0] for curve in panel.measured.values()] or [np.ones(1)])
    return float(shares.min(initial=1.0)) / 2
