"""What figures of accuracy share, and how any figure becomes files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.core.files import replace_file
from lth_runner.report.pointer import with_values
from lth_runner.report.series import Series, series
from lth_runner.report.style import STYLE, curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def accuracy_figure(
    lines: Iterable[Mapping[str, Any]],
    *,
    axis: str,
    axis_label: str,
    log_axis: bool = False,
    levels: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    """Test accuracy against anything: density, epsilon, width.

    Args:
        lines: of metrics: curve, `axis`, accuracy.
        axis: name of the x values in the lines.
        axis_label: the same for people, with its unit.
        log_axis: draw x logarithmically.
        levels: accuracies to compare with, by name; drawn as horizontal lines.
        labels: names of the curves for people.
    """
    accuracy = series(lines, axis, "accuracy")
    with panels(columns=1) as (figure, (axes,)):
        draw_accuracy(axes, accuracy, curve_looks(accuracy, labels or {}))
        for (name, level), style in zip((levels or {}).items(), ("--", ":", "-.", (0, (1, 3))), strict=False):
            axes.axhline(100 * level, color="#444444", linestyle=style, linewidth=1, label=name)
        axes.set_xlabel(axis_label)
        if log_axis:
            axes.set_xscale("log")
        legend_below(figure, (axes,))
    return figure


def save_figure(figure: "Figure", stem: Path) -> list[Path]:
    """Writes `stem`.png and `stem`.svg, each whole or not at all; equal figures give equal bytes.

    In the SVG every marker says its value under the pointer.

    Raises:
        DataError: the folder or the disk refuses them.
    """
    import matplotlib

    paths = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        path = stem.with_name(f"{stem.name}.{suffix}")
        with replace_file(path) as temporary, matplotlib.rc_context(STYLE):
            figure.savefig(temporary, format=suffix, dpi=200, metadata=metadata)
            if suffix == "svg":
                temporary.write_text(with_values(temporary.read_text(encoding="utf-8"), figure), encoding="utf-8")
        paths.append(path)
    return paths


def draw_accuracy(axes: "Axes", curves: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Curves of accuracies, fractions, in percent; where several runs are behind a point, their range is shaded."""
    for name, curve in curves.items():
        axes.plot(curve.x, 100 * curve.mean, **looks[name])
        band(axes, curve.x, 100 * curve.low, 100 * curve.high, curve.spread, looks[name])
    axes.set_ylabel("test accuracy (%)")


def band(axes: "Axes", x: np.ndarray, low: np.ndarray, high: np.ndarray, spread: bool, look: Mapping[str, Any]) -> None:
    """The range of several values, shaded."""
    if spread:
        axes.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)
