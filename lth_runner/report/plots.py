"""Figures of methods on one target: accuracy and weight error as curves."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.core.files import replace_file
from lth_runner.report.series import Series, floor_of_zeros, series
from lth_runner.report.style import STYLE, curve_looks, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves_figure(
    lines: Iterable[Mapping[str, Any]],
    *,
    target_accuracy: float,
    epsilon: float,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    """Test accuracy and weight error against n, one colour per method.

    Args:
        lines: of metrics, of one run or of several: curve, n, accuracy, weight_error_median, weight_error_max.
        target_accuracy: of the target network, a fraction; drawn as a dashed line.
        epsilon: allowed weight error; drawn as a dotted line.
        labels: names of the curves for people, where they should differ from `curve`.
    """
    return settings_figure(
        lines,
        axis="n",
        axis_label="n, random weights offered per target weight",
        target_accuracy=target_accuracy,
        epsilon=epsilon,
        labels=labels,
    )


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


def settings_figure(
    lines: Iterable[Mapping[str, Any]],
    *,
    axis: str,
    axis_label: str,
    log_axis: bool = False,
    target_accuracy: float | None = None,
    epsilon: float | None = None,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    """Test accuracy, and weight error where there is any, against a setting.

    Args:
        lines: curve, `axis`, accuracy and perhaps weight_error_median and weight_error_max.
        axis, axis_label, log_axis, labels: as in `accuracy_figure`.
        target_accuracy, epsilon: as in `curves_figure`; None draws no such line.
    """
    from matplotlib.ticker import MaxNLocator

    lines = list(lines)
    accuracy, median, largest = (
        series(lines, axis, value) for value in ("accuracy", "weight_error_median", "weight_error_max")
    )
    looks = curve_looks([*accuracy, *median], labels or {})
    with panels(columns=2 if median else 1) as (figure, axes):
        draw_accuracy(axes[0], accuracy, looks)
        if target_accuracy is not None:
            axes[0].axhline(100 * target_accuracy, color="#444444", linestyle="--", linewidth=1, label="target network")
        if median:
            _errors(axes[1], median, largest, looks)
            if epsilon is not None:
                axes[1].axhline(epsilon, color="#444444", linestyle=":", linewidth=1, label=f"epsilon = {epsilon:g}")
        for panel in axes:
            panel.set_xlabel(axis_label)
            if log_axis:
                panel.set_xscale("log")
            elif all((curve.x % 1 == 0).all() for curve in accuracy.values()):
                panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, axes)
    return figure


def save_figure(figure: "Figure", stem: Path) -> list[Path]:
    """Writes `stem`.png and `stem`.svg, each whole or not at all; equal figures give equal bytes.

    Raises:
        DataError: the folder or the disk refuses them.
    """
    import matplotlib

    paths = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        path = stem.with_name(f"{stem.name}.{suffix}")
        with replace_file(path) as temporary, matplotlib.rc_context(STYLE):
            figure.savefig(temporary, format=suffix, dpi=200, metadata=metadata)
        paths.append(path)
    return paths


def draw_accuracy(axes: "Axes", curves: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Curves of accuracies, fractions, in percent; where several runs are behind a point, their range is shaded."""
    for name, curve in curves.items():
        axes.plot(curve.x, 100 * curve.mean, **looks[name])
        _band(axes, curve.x, 100 * curve.low, 100 * curve.high, curve.spread, looks[name])
    axes.set_ylabel("test accuracy (%)")


def _errors(
    axes: "Axes",
    median: Mapping[str, Series],
    largest: Mapping[str, Series],
    looks: Mapping[str, Mapping[str, Any]],
) -> None:
    """Median errors as lines, largest ones lighter and dashed, on a log axis that shows exact zeros at its floor."""
    floor = floor_of_zeros([*median.values(), *largest.values()])
    lift = (lambda values: values) if floor is None else (lambda values: np.maximum(values, floor))
    for name, curve in median.items():
        axes.plot(curve.x, lift(curve.mean), **looks[name])
        _band(axes, curve.x, lift(curve.low), lift(curve.high), curve.spread, looks[name])
    for name, curve in largest.items():
        axes.plot(curve.x, lift(curve.mean), color=looks[name]["color"], linestyle="--", linewidth=1, alpha=0.6)
    axes.plot([], [], color="#888888", label="median error")
    axes.plot([], [], color="#888888", linestyle="--", linewidth=1, alpha=0.6, label="largest error")
    axes.set_yscale("log")
    axes.set_ylabel("weight error, absolute")
    if floor is not None:
        _mark_zeros(axes, chain(median.values(), largest.values()), floor)


def _mark_zeros(axes: "Axes", curves: Iterable[Series], floor: float) -> None:
    """Points at the floor that are exactly zero."""
    zeros = sorted({x for curve in curves for x in curve.x[curve.mean == 0]})
    axes.plot(
        zeros, [floor] * len(zeros), "o", markersize=9, markerfacecolor="none", color="#444444", label="exactly 0"
    )


def _band(
    axes: "Axes", x: np.ndarray, low: np.ndarray, high: np.ndarray, spread: bool, look: Mapping[str, Any]
) -> None:
    if spread:
        axes.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)
