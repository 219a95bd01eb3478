"""Figures of results: readable in print at 7 inches, told apart without colour, equal bytes from equal numbers."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_runner.core.files import replace_file
from lth_runner.report.series import Series, floor_of_zeros, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, darkest first: told apart by people with any colour vision; the markers do it in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.hashsalt": "lth_runner",  # ids in an SVG are otherwise random
}


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
    from matplotlib.ticker import MaxNLocator

    lines = list(lines)
    accuracy, median, largest = (
        series(lines, "n", value) for value in ("accuracy", "weight_error_median", "weight_error_max")
    )
    looks = _looks([*accuracy, *median], labels or {})
    with _figure(columns=2) as (figure, (left, right)):
        _accuracy(left, accuracy, looks)
        left.axhline(100 * target_accuracy, color="#444444", linestyle="--", linewidth=1, label="target network")
        left.set_xlabel("n, random weights offered per target weight")
        _errors(right, median, largest, looks)
        right.axhline(epsilon, color="#444444", linestyle=":", linewidth=1, label=f"epsilon = {epsilon:g}")
        right.set_xlabel("n, random weights offered per target weight")
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, (left, right))
    return figure


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
    with _figure(columns=1) as (figure, (axes,)):
        _accuracy(axes, accuracy, _looks(accuracy, labels or {}))
        for (name, level), style in zip((levels or {}).items(), ("--", ":", "-.", (0, (1, 3))), strict=False):
            axes.axhline(100 * level, color="#444444", linestyle=style, linewidth=1, label=name)
        axes.set_xlabel(axis_label)
        if log_axis:
            axes.set_xscale("log")
        _legend(figure, (axes,))
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


@contextlib.contextmanager
def _figure(columns: int) -> "Iterator[tuple[Figure, Sequence[Axes]]]":
    """An empty figure in our style, without pyplot and so without a display or global state."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.06)  # inches
        figure = Figure(figsize=(3.5 * columns if columns > 1 else 4.5, 3.1), layout=layout)
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _looks(names: Iterable[str], labels: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and label of each curve, the same in every panel."""
    return {
        name: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],  # an eighth curve shares only its colour
            "label": labels.get(name, name),
        }
        for i, name in enumerate(dict.fromkeys(names))
    }


def _accuracy(axes: "Axes", curves: Mapping[str, Series], looks: Mapping[str, Mapping[str, Any]]) -> None:
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


def _legend(figure: "Figure", panels: Sequence["Axes"]) -> None:
    """One legend below all panels, where it can cover nothing."""
    entries = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=min(len(entries), 4 if len(panels) > 1 else 3),
        frameon=False,
    )
