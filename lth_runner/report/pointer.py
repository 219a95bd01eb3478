"""The values under the pointer: over every marker of a figure an unseen spot whose title says what is drawn there."""

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

POINTS_PER_INCH = 72  # of an SVG that Matplotlib writes
RADIUS = 5  # of a spot, in points
CLASS = "value"
UNNAMED = ("_child", "_nolegend")  # how Matplotlib labels what has no label


def with_values(svg: str, figure: "Figure") -> str:
    """The SVG of a figure, just saved, with a spot over each marker; markers in the same place share one."""
    height = figure.get_size_inches()[1] * POINTS_PER_INCH
    spots: dict[tuple[int, int], list[str]] = {}
    for axes in figure.axes:
        for x, y, said in _values(axes):
            at = (round(x / figure.dpi * POINTS_PER_INCH), round(height - y / figure.dpi * POINTS_PER_INCH))
            spots.setdefault(at, []).append(said)
    circles = [
        f'<circle class="{CLASS}" cx="{x}" cy="{y}" r="{RADIUS}" fill-opacity="0"><title>'
        f"{html.escape(chr(10).join(dict.fromkeys(said)))}</title></circle>\n"
        for (x, y), said in spots.items()
    ]
    before, end, after = svg.rpartition("</svg>")
    return f"{before}<g>\n{''.join(circles)}</g>\n{end}{after}" if circles else svg


def _values(axes: "Axes") -> Iterator[tuple[float, float, str]]:
    """The markers inside a panel: their places in pixels from below, and what they say."""
    names = _names(axes)
    for line in axes.get_lines():
        if line.get_marker() in ("", " ", "None", "none", None) or line.get_transform() != axes.transData:
            continue
        for point in np.column_stack(line.get_data(orig=False)):
            x, y = axes.transData.transform(point)
            if axes.bbox.contains(x, y):
                value = _said(axes.get_ylabel(), (axes.fmt_ydata or _plain)(point[1]))
                where = _said(axes.get_xlabel(), (axes.fmt_xdata or _plain)(point[0]))
                yield x, y, ", ".join(filter(None, [axes.get_title(), names[line], value, where]))


def _names(axes: "Axes") -> dict["Line2D", str]:
    """The labels of lines, those that no legend shows too; of lines with error bars they are on the bars."""
    names = {line: str(line.get_label()) for line in axes.get_lines()}
    for bars in axes.containers:
        if bars[0] in names:
            names[bars[0]] = str(bars.get_label())
    return {line: "" if name.startswith(UNNAMED) else name.removeprefix("_") for line, name in names.items()}


def _said(label: str, value: str) -> str:
    """Nothing on an axis without a label, whose ticks are names."""
    return f"{_short(label)}: {value}" if label else ""


def _short(label: str) -> str:
    """`n` of `n, random weights offered per target weight`."""
    return label.partition(",")[0]


def _plain(value: float) -> str:
    return f"{value:.5g}"
