"""How every figure looks: readable in print at 7 inches, told apart without colour, equal bytes from equal numbers."""

import contextlib
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, darkest first: told apart by people with any colour vision; the markers do it in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LEGEND_SHARE = 0.4  # of a figure's height: more for the legend makes the figure higher
NARROWER, STEPS = 0.9, 40  # how labels are broken that are too wide: lines shorter by so much, at most so often
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


def close_limits(percents: Iterable[float]) -> tuple[float, float]:
    """Of a panel that looks closely at the best networks: ten percent, up to a round number above them."""
    top = 10.0 * math.ceil(max(percents) / 10)
    return top - 10, top


def load_matplotlib() -> None:
    """Imports Matplotlib, also where MPLBACKEND names a backend that is not there: figures here need none."""
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib

    if backend is not None:
        os.environ["MPLBACKEND"] = backend
        with contextlib.suppress(ValueError):  # a caller's own plots keep a backend that Matplotlib knows
            matplotlib.rcParams["backend"] = backend


@contextlib.contextmanager
def panels(columns: int, height: float = 3.1, rows: int = 1) -> "Iterator[tuple[Figure, Sequence[Axes]]]":
    """An empty figure in our style, without pyplot and so without a display or global state.

    Args:
        height: of a row of panels, in inches.
    """
    load_matplotlib()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.06)  # inches
        figure = Figure(figsize=(3.5 * columns if columns > 1 else 4.5, height * rows), layout=layout)
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def curve_looks(names: Iterable[str], labels: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and label of each curve, the same in every panel."""
    return {
        name: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],  # an eighth curve shares only its colour
            "label": labels.get(name, name),
        }
        for i, name in enumerate(dict.fromkeys(names))
    }


def legend_below(figure: "Figure", panels: Sequence["Axes"]) -> None:
    """One legend below all panels, where it can cover nothing, in as many columns as the labels leave room for.

    Labels that are wider than the paper are broken, and the paper grows where the legend would crowd out the panels.
    """
    entries = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    longest = max(map(len, entries), default=0)
    layouts = [(columns, longest) for columns in range(min(len(entries), 4 if len(panels) > 1 else 3), 0, -1)]
    layouts += [(1, round(longest * NARROWER**k)) for k in range(1, 1 + STEPS)]
    for columns, width in layouts:
        labels = [textwrap.fill(label, width) if len(label) > width else label for label in entries]
        legend = figure.legend(list(entries.values()), labels, loc="outside lower center", ncols=columns, frameon=False)
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or (columns, width) == layouts[-1]:
            width_in, height_in = figure.get_size_inches()
            figure.set_size_inches(width_in, height_in + max(0.0, box.height / figure.dpi - LEGEND_SHARE * height_in))
            return
        legend.remove()
