"""How many random numbers an epsilon costs: the smallest n with its interval, fits and formulas."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.laws import HEIGHT, Measured, Panel, draw_panel, formula_styles, line, predicted
from lth_runner.report.points import Description, Point
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {"logarithm": "any subset", "power": "one number"}


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """The smallest n against epsilon: where it grows as a logarithm, and on logarithmic axes where as a power.

    Args:
        points: curve, epsilon, n, n_low, n_high and max_n; n_high is empty beyond max_n, and so is n; n_law where a
            law predicts n.
        description: share, the fraction of weights that are within epsilon; fit_epsilon, the largest one that fits
            saw; curves, by name their label, growth (logarithm or power) and fit (slope and offset of n, or of log2 n,
            over log2(1 / epsilon); or null); formulas, by growth and label their epsilons and their n.
    """
    parts = [_panel(growth, points, description) for growth in TITLES]
    looks = curve_looks([label for panel in parts for label in panel.measured], {})
    styles = formula_styles(parts)
    with panels(columns=2, height=HEIGHT) as (drawn, axes):
        for panel, ax in zip(parts, axes, strict=True):
            draw_panel(ax, panel, looks, styles, connected=False)
            ax.set_xscale("log")
            ax.set_xlabel("epsilon, allowed error per weight")
            ax.set_ylabel(f"smallest n for {100 * description['share']:g} % of weights")
            ax.set_xlim(*_span(parts))
        axes[0].set_ylim(bottom=0)
        axes[1].set_yscale("log")
        legend_below(drawn, axes)
    return drawn


def _panel(growth: str, points: Sequence[Point], description: Description) -> Panel:
    measured = {}
    for name, curve in description["curves"].items():
        there = [point for point in points if point["curve"] == name and point.get("n")]
        if there and curve["growth"] == growth:
            measured[curve["label"]] = _measured(there, curve, description["fit_epsilon"])
    formulas = {label: line(pair) for label, pair in description["formulas"][growth].items()}
    return Panel(title=TITLES[growth], measured=measured, formulas=formulas)


def _measured(points: Sequence[Point], curve: Mapping[str, Any], fit_epsilon: float) -> Measured:
    """The points of one curve that have an n; an interval without an end reaches as far as was looked."""
    x, y, low, high = (
        np.array(column, float)
        for column in zip(
            *((p["epsilon"], p["n"], p["n_low"] or 0, p["n_high"] or p["max_n"]) for p in points), strict=True
        )
    )
    fitted = None
    if curve["fit"] is not None:
        slope, offset = curve["fit"]
        at = x[x <= fit_epsilon]
        value = slope * np.log2(1 / at) + offset
        fitted = at, value if curve["growth"] == "logarithm" else 2**value
    return Measured(x=x, y=y, low=low, high=high, fit=fitted, law=predicted(points, "epsilon", "n_law"))


def _span(parts: Sequence[Panel]) -> tuple[float, float]:
    """From the largest x to the smallest, with a margin: to the right is more exact."""
    x = np.concatenate(
        [curve.x for panel in parts for curve in panel.measured.values()]
        + [pair[0] for panel in parts for pair in panel.formulas.values()]
        or [np.ones(1)]
    )
    return float(x.max()) * 2, float(x.min()) / 2
