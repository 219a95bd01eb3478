"""Curves as data, and figures that show all of it."""

import itertools
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lth_runner.core.errors import DataError
from lth_runner.report.kinds import curves
from lth_runner.report.plots import accuracy_figure, save_figure
from lth_runner.report.series import floor_of_zeros, series
from lth_runner.report.style import COLOURS, MARKERS, curve_looks


def line(curve: str, n: int, accuracy: float | None, median: Any = 1e-3, largest: Any = 1e-2) -> dict[str, Any]:
    return {"curve": curve, "n": n, "accuracy": accuracy, "weight_error_median": median, "weight_error_max": largest}


LINES = [line("closest", n, 0.5 + n / 50, 10.0**-n, 10.0 ** (1 - n)) for n in (1, 3, 6, 12)]
LINES += [line("malach", n, 0.4 + n / 50, 0.1 / n, 0.3 / n) for n in (1, 3, 6, 12)]


def curves_figure(lines: list[dict[str, Any]], **changes: Any) -> Any:
    fixed = {"kind": "curves", "axis": "n", "axis_label": "n", "log_axis": False, "labels": {}}
    return curves.figure(lines, {**fixed, "target_accuracy": 0.97, "epsilon": 0.01, **changes})


def test_series_averages_runs_and_keeps_their_range() -> None:
    lines = [line("a", 5, 0.8), line("a", 2, 0.5), line("b", 1, 0.1), line("a", 5, 0.6), line("a", 5, 0.7)]
    found = series(lines, "n", "accuracy")
    assert list(found) == ["a", "b"]
    np.testing.assert_allclose(found["a"].x, [2, 5])
    np.testing.assert_allclose(found["a"].mean, [0.5, 0.7])
    np.testing.assert_allclose(found["a"].low, [0.5, 0.6])
    np.testing.assert_allclose(found["a"].high, [0.5, 0.8])
    assert found["a"].count.tolist() == [1, 3]
    assert found["a"].spread
    assert not found["b"].spread


def test_lines_of_no_curve_are_no_points() -> None:
    lines: list[dict[str, Any]] = [
        {"n": 1, "accuracy": 0.5},  # of no curve
        {"curve": "a", "accuracy": 0.5},  # at no x
        line("a", 1, None),
        line("a", 2, math.nan),
        {"curve": "a", "n": 3, "accuracy": "nan"},  # as metrics.jsonl holds it
        {"curve": "a", "n": True, "accuracy": 0.5},
    ]
    assert series(lines, "n", "accuracy") == {}


@pytest.mark.parametrize(
    ("errors", "floor"), [([1e-3, 2e-6], None), ([1e-3, 2e-6, 0.0], 1e-7), ([0.0, 0.0], 1e-17), ([], None)]
)
def test_zeros_have_a_floor_below_everything_else(errors: list[float], floor: float | None) -> None:
    errors_of = series([line("a", n, 0.5, error) for n, error in enumerate(errors)], "n", "weight_error_median")
    found = floor_of_zeros(errors_of.values())
    assert found == (None if floor is None else pytest.approx(floor, rel=1e-12))


def drawn(axes: Any) -> dict[str, Any]:
    return {entry.get_label(): entry for entry in axes.get_lines()}


def test_both_panels_show_every_point() -> None:
    panels: Any = curves_figure(LINES, labels={"malach": "Malach et al."}).axes
    left, right = panels
    np.testing.assert_allclose(drawn(left)["closest"].get_xdata(), [1, 3, 6, 12])
    np.testing.assert_allclose(drawn(left)["closest"].get_ydata(), [52, 56, 62, 74])
    np.testing.assert_allclose(drawn(left)["target network"].get_ydata(), [97, 97])
    assert "Malach et al." in drawn(left)
    np.testing.assert_allclose(drawn(right)["closest"].get_ydata(), [1e-1, 1e-3, 1e-6, 1e-12])
    np.testing.assert_allclose(drawn(right)["epsilon = 0.01"].get_ydata(), [0.01, 0.01])
    assert right.get_yscale() == "log"
    colours = [drawn(panel)["closest"].get_color() for panel in (left, right)]
    assert colours[0] == colours[1] != drawn(left)["Malach et al."].get_color()
    largest = [
        entry.get_ydata() for entry in right.get_lines() if entry.get_linestyle() == "--" and len(entry.get_xdata())
    ]
    np.testing.assert_allclose(largest, [[1, 1e-2, 1e-5, 1e-11], [0.3, 0.1, 0.05, 0.025]])


def test_an_error_of_zero_is_shown_and_said() -> None:
    with_zero = [line("closest", 3, 0.9, 1e-3, 1e-2), line("closest", 6, 0.9, 0.0, 1e-5)]
    right = curves_figure(with_zero).axes[1]
    np.testing.assert_allclose(drawn(right)["closest"].get_ydata(), [1e-3, 1e-6])
    assert [list(drawn(right)["exactly 0"].get_xdata()), list(drawn(right)["exactly 0"].get_ydata())] == [[6], [1e-6]]
    assert "exactly 0" not in drawn(curves_figure(LINES).axes[1])


def test_several_runs_make_a_band() -> None:
    lines = LINES + [{**entry, "accuracy": entry["accuracy"] - 0.1} for entry in LINES]
    assert len(curves_figure(lines).axes[0].collections) == 2
    assert not curves_figure(LINES).axes[0].collections


def test_accuracy_against_anything() -> None:
    lines = [{"curve": "edge-popup", "density": d, "accuracy": 0.9 - d / 2} for d in (0.1, 0.01, 0.5)]
    figure = accuracy_figure(lines, axis="density", axis_label="density", log_axis=True, levels={"trained": 0.985})
    (axes,) = figure.axes
    np.testing.assert_allclose(drawn(axes)["edge-popup"].get_xdata(), [0.01, 0.1, 0.5])
    np.testing.assert_allclose(drawn(axes)["edge-popup"].get_ydata(), [89.5, 85, 65])
    np.testing.assert_allclose(drawn(axes)["trained"].get_ydata(), [98.5, 98.5])
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "density")


def test_the_legend_covers_no_panel() -> None:
    figure: Any = curves_figure(LINES)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    assert figure.bbox.containsx(box.x0)
    assert figure.bbox.containsx(box.x1)
    left, right = (axes.get_tightbbox() for axes in figure.axes)
    assert not left.overlaps(right)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("length", [10, 60, 400])
def test_legends_fit(count: int, length: int) -> None:
    """Whatever the labels, they stand on the paper and leave the panels room."""
    labels = {str(i): " ".join(["setting=0.1"] * (length // 10)) + f" {i}" for i in range(count)}
    lines = [{"curve": name, "n": n, "accuracy": 0.5} for name in labels for n in (1, 2)]
    drawn_one: Any = accuracy_figure(lines, axis="n", axis_label="n", labels=labels)
    drawn_one.draw_without_rendering()
    (legend,), (axes,) = drawn_one.legends, drawn_one.axes
    box = legend.get_window_extent()
    assert drawn_one.bbox.x0 <= box.x0 < box.x1 <= drawn_one.bbox.x1
    assert drawn_one.bbox.y0 <= box.y0 < box.y1 <= axes.get_tightbbox().y0
    assert axes.get_window_extent().height > drawn_one.dpi, "an inch at least"
    assert {" ".join(text.get_text().split()) for text in legend.get_texts()} == set(labels.values())


def test_many_curves_look_different() -> None:
    looks = curve_looks([str(i) for i in range(2 * len(COLOURS))], {})
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 2 * len(COLOURS)
    assert len(MARKERS) == len(set(MARKERS)) == len(COLOURS)


@pytest.mark.slow
def test_files_are_whole_and_equal_for_equal_numbers(tmp_path: Path) -> None:
    for name in ("a", "b"):
        paths = save_figure(curves_figure(LINES), tmp_path / name / "curves.n1")
        assert paths == [tmp_path / name / "curves.n1.png", tmp_path / name / "curves.n1.svg"]
    first, second = ([path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("a", "b"))
    assert first == second
    png, svg = first
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (1400, 620)
    assert len(list(ElementTree.fromstring(svg).iter())) > 100


def titles(path: Path) -> list[str]:
    svg = "{http://www.w3.org/2000/svg}"
    spots = [spot for spot in ElementTree.parse(path).iter(f"{svg}circle") if spot.get("class") == "value"]
    return [str(spot.findtext(f"{svg}title")) for spot in spots]


@pytest.mark.slow
def test_every_marker_says_its_value(tmp_path: Path) -> None:
    said = "\n".join(titles(save_figure(curves_figure(LINES), tmp_path / "a")[1])).splitlines()
    for entry in LINES:
        assert f"{entry['curve']}, test accuracy (%): {100 * entry['accuracy']:.5g}, n: {entry['n']}" in said
        assert f"{entry['curve']}, weight error: {entry['weight_error_median']:.5g}, n: {entry['n']}" in said
    assert len(said) == 2 * len(LINES)


@pytest.mark.slow
def test_an_error_of_zero_says_zero(tmp_path: Path) -> None:
    lines = [line("closest", 3, 0.9, 1e-3, 1e-2), line("closest", 6, 0.9, 0.0, 1e-5)]
    said = titles(save_figure(curves_figure(lines), tmp_path / "a")[1])
    assert "exactly 0, weight error: 0, n: 6\nclosest, weight error: 0, n: 6" in said


def test_spots_lie_on_their_markers(tmp_path: Path) -> None:
    """Of the SVG's own markers, which Matplotlib places in the same coordinates."""
    figure = accuracy_figure([{"curve": "a", "n": n, "accuracy": n / 9} for n in (1, 2, 5)], axis="n", axis_label="n")
    root = ElementTree.parse(save_figure(figure, tmp_path / "a")[1]).getroot()
    svg, line_id = "{http://www.w3.org/2000/svg}", ".//*[@id='{}']"
    drawn_line = next(
        group
        for i in range(1, 99)
        if (group := root.find(line_id.format(f"line2d_{i}"))) is not None and len(list(group.iter(f"{svg}use"))) == 3
    )
    markers = [(float(use.get("x", 0)), float(use.get("y", 0))) for use in drawn_line.iter(f"{svg}use")]
    spots = [(float(spot.get("cx", 0)), float(spot.get("cy", 0))) for spot in root.iter(f"{svg}circle")]
    np.testing.assert_allclose(spots, markers, atol=0.51)


def test_an_unwritable_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        save_figure(accuracy_figure(LINES, axis="n", axis_label="n"), tmp_path / "file" / "curves")


@pytest.mark.slow
def test_drawing_leaves_no_state() -> None:
    code = (
        "import matplotlib\n"
        "before = dict(matplotlib.rcParams)\n"
        "from lth_runner.report.plots import accuracy_figure\n"
        "lines = [{'curve': 'a', 'n': 1, 'accuracy': 0.5}]\n"
        "accuracy_figure(lines, axis='n', axis_label='n').draw_without_rendering()\n"
        "assert dict(matplotlib.rcParams) == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_an_empty_study_still_draws() -> None:
    axes = curves_figure([]).axes
    assert list(itertools.chain(*(panel.get_lines() for panel in axes)))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no_such_backend", "svg"])
def test_figures_need_no_backend(tmp_path: Path, backend: str) -> None:
    """As in a process that Jupyter started, where the environment names a backend that may not be installed."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from lth_runner.report.plots import save_figure; from lth_runner.report.style import panels\n"
        "with panels(1) as (figure, _): save_figure(figure, Path(sys.argv[1]))\n"
        "import matplotlib; assert (matplotlib.rcParams['backend'] == 'svg') == (os.environ['MPLBACKEND'] == 'svg')\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    done = subprocess.run(
        command, env={**os.environ, "MPLBACKEND": backend}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").exists()
