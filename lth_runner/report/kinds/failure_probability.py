"""How fast failures vanish: their share against n, with its interval, and formulas."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.report.laws import HEIGHT, Measured, Panel, draw_panel, formula_styles, line, predicted
from lth_runner.report.points import Description, Point
from lth_runner.report.style import curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(points: Sequence[Point], description: Description) -> "Figure":
    """The share of failures against n on a logarithmic axis; points without a failure are left out.

    Args:
        points: panel, curve, n, failures, failure_share, failure_low and failure_high; failure_law where a law
            predicts the share.
        description: panels, by name their title, labels (of the curves by their names) and formulas (by label their
            n and their shares).
    """
    parts = [_panel(name, panel, points) for name, panel in description["panels"].items()]
    looks = curve_looks([label for panel in parts for label in panel.measured], {})
    styles = formula_styles(parts)
    with panels(columns=len(parts), height=HEIGHT) as (drawn, axes):
        for panel, ax in zip(parts, axes, strict=True):
            draw_panel(ax, panel, looks, styles, connected=True)
            ax.set_yscale("log")
            ax.set_ylim(_least(panel), 1.5)
            ax.set_xlabel("n, random weights offered per weight")
            ax.set_ylabel("share of weights not within epsilon")
        legend_below(drawn, axes)
    return drawn


def _panel(name: str, panel: Mapping[str, Any], points: Sequence[Point]) -> Panel:
    measured = {}
    for curve, label in panel["labels"].items():
        there = [p for p in points if (p["panel"], p["curve"]) == (name, curve) and p["n"] > 0 and p["failures"] > 0]
        x, y, low, high = (
            np.array([point[column] for point in there], float)
            for column in ("n", "failure_share", "failure_low", "failure_high")
        )
        measured[label] = Measured(x=x, y=y, low=low, high=high, law=predicted(there, "n", "failure_law"))
    formulas = {label: line(pair) for label, pair in panel["formulas"].items()}
    return Panel(title=panel["title"], measured=measured, formulas=formulas)


def _least(panel: Panel) -> float:
    """Half of the least share that was seen: intervals and formulas may reach far below it."""
    shares = np.concatenate([curve.y[curve.y > 0] for curve in panel.measured.values()] or [np.ones(1)])
    return float(shares.min(initial=1.0)) / 2
