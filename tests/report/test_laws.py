"""Figures of laws show all of their data, inside the paper."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lth_runner.report.laws import Measured, Panel, failure_figure, scaling_figure
from lth_runner.report.plots import save_figure

EPSILONS = np.array([1e-1, 1e-3, 1e-6])
LONG = [f"a distribution with a name, number {k}" for k in range(6)]


def measured(y: list[float], x: np.ndarray = EPSILONS) -> Measured:
    values = np.array(y)
    return Measured(x=x, y=values, low=values * 0.9, high=values * 1.1, fit=(x, values))


def panel(*labels: str) -> Panel:
    return Panel(
        title="any subset",
        measured={label: measured([10.0 + k, 20.0 + k, 40.0 + k]) for k, label in enumerate(labels)},
        formulas={"the formula of " + labels[0]: (EPSILONS, np.array([5.0, 10.0, 20.0]))},
    )


def scaling() -> Any:
    return scaling_figure(panel(*LONG[:4]), panel(*LONG[4:]), 0.95)


def failures() -> Any:
    n = np.arange(1, 101.0)
    curve = Measured(x=n, y=0.8**n, low=0.7 * 0.8**n, high=1.2 * 0.8**n)
    return failure_figure([Panel(title="left", measured={"a": curve}, formulas={}), panel("b")])


def points(axes: Any, label: str) -> np.ndarray:
    (container,) = (c for c in axes.containers if c.get_label() == label)
    return container.lines[0].get_xydata()


def test_every_point_is_drawn_and_exactness_grows_to_the_right() -> None:
    left, right = scaling().axes
    np.testing.assert_allclose(points(left, LONG[1]), np.column_stack([EPSILONS, [11, 21, 41]]))
    np.testing.assert_allclose(points(right, LONG[4]), np.column_stack([EPSILONS, [10, 20, 40]]))
    for axes in (left, right):
        assert axes.get_xscale() == "log"
        assert axes.get_xlim()[0] > 1e-1 > 1e-6 > axes.get_xlim()[1]
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")
    assert "95 %" in left.get_ylabel()


def test_failures_stand_on_a_logarithmic_axis_that_holds_them_all() -> None:
    left, _ = failures().axes
    assert left.get_yscale() == "log"
    assert left.get_ylim()[0] < 0.8**100
    np.testing.assert_allclose(points(left, "a")[:, 1], 0.8 ** np.arange(1, 101.0))


@pytest.mark.parametrize("draw", [scaling, failures])
def test_nothing_leaves_the_paper_or_covers_another(draw: Any) -> None:
    figure = draw()
    figure.canvas.draw()
    (legend,) = figure.legends
    boxes = [legend.get_window_extent(), *(axes.get_tightbbox() for axes in figure.axes)]
    for k, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_an_empty_panel_is_no_error() -> None:
    nothing = Panel(title="", measured={}, formulas={})
    assert len(scaling_figure(nothing, nothing, 0.95).axes) == 2


@pytest.mark.parametrize("draw", [scaling, failures])
def test_equal_numbers_give_equal_files(draw: Any, tmp_path: Path) -> None:
    first, again = (save_figure(draw(), tmp_path / name) for name in ("a", "b"))
    for one, other in zip(first, again, strict=True):
        assert one.stat().st_size > 10_000
        assert one.read_bytes() == other.read_bytes()
