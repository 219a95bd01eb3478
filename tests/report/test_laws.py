"""Figures of laws show all of their data, inside the paper."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lth_runner.report import laws
from lth_runner.report.kinds import failure_probability, scaling_law
from lth_runner.report.plots import save_figure

EPSILONS = [1e-1, 1e-3, 1e-6]
LONG = [f"a distribution with a name, number {k}" for k in range(6)]


def curve(name: str, k: int) -> list[dict[str, Any]]:
    """The points of one curve of the scaling law."""
    return [
        {"curve": name, "epsilon": epsilon, "n": n + k, "n_low": n + k - 1, "n_high": n + k + 1, "max_n": 99}
        for epsilon, n in zip(EPSILONS, (10, 20, 40), strict=True)
    ]


def scaling() -> Any:
    found = [point for k, name in enumerate("abcd") for point in curve(name, k)]
    found += [point for k, name in enumerate("ef") for point in curve(name, k)]
    curves = {
        name: {"label": label, "growth": "logarithm" if name < "e" else "power", "fit": [3.0, 1.0]}
        for name, label in zip("abcdef", LONG, strict=True)
    }
    formula = [EPSILONS, [5.0, 10.0, 20.0]]
    formulas = {"logarithm": {f"the formula of {LONG[0]}": formula}, "power": {f"the formula of {LONG[4]}": formula}}
    return scaling_law.figure(found, {"share": 0.95, "fit_epsilon": 1e-3, "curves": curves, "formulas": formulas})


def failures() -> Any:
    found = [
        {
            "panel": "left", "curve": "a", "n": n, "failures": 1,
            "failure_share": 0.8**n, "failure_low": 0.7 * 0.8**n, "failure_high": 1.2 * 0.8**n,
        }
        for n in range(1, 101)
    ]  # fmt: skip
    found += [{**point, "panel": "right", "curve": "b"} for point in found]
    found += [{**point, "n": 101, "failures": 0, "failure_share": 0.0} for point in found[:1]]
    panels = {
        "left": {"title": "left", "labels": {"a": "a"}, "formulas": {}},
        "right": {
            "title": "right",
            "labels": {"b": "b"},
            "formulas": {"the formula of b": [[1, 2, 3], [0.5, 0.2, 0.1]]},
        },
    }
    return failure_probability.figure(found, {"panels": panels})


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


def test_what_a_law_predicts_is_dotted_above_the_curve() -> None:
    found = [point | {"n_law": point["n"] + 1.0} for point in curve("a", 0)]
    curves = {"a": {"label": "a", "growth": "logarithm", "fit": None}}
    formulas = {"logarithm": {}, "power": {}}
    drawn: Any = scaling_law.figure(found, {"share": 0.95, "fit_epsilon": 1e-3, "curves": curves, "formulas": formulas})
    lines = {str(line.get_label()): line for line in drawn.axes[0].get_lines()}
    assert laws.LAW_LABEL in [text.get_text() for text in drawn.legends[0].get_texts()]
    (law,) = (line for line in lines.values() if list(line.get_ydata()) == [11, 21, 41])
    np.testing.assert_allclose(law.get_xdata(), EPSILONS)
    assert law.get_zorder() > drawn.axes[0].containers[0].lines[0].get_zorder()
    assert laws.LAW_LABEL not in [text.get_text() for text in scaling().legends[0].get_texts()]


def test_failures_stand_on_a_logarithmic_axis_that_holds_them_all() -> None:
    left, _ = failures().axes
    assert left.get_yscale() == "log"
    assert left.get_ylim()[0] < 0.8**100
    np.testing.assert_allclose(points(left, "a")[:, 1], 0.8 ** np.arange(1, 101.0))


@pytest.mark.slow
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
    nothing = {"share": 0.95, "fit_epsilon": 1e-3, "curves": {}, "formulas": {"logarithm": {}, "power": {}}}
    assert len(scaling_law.figure([], nothing).axes) == 2


def test_an_interval_without_an_end_reaches_as_far_as_was_looked_and_a_fit_stands_where_it_was_made() -> None:
    found = [{**point, "n_high": None} for point in curve("a", 0)] + [{"curve": "a", "epsilon": 1e-9, "n": None}]
    curves = {"a": {"label": "a", "growth": "logarithm", "fit": [3.0, 1.0]}}
    formulas: dict[str, Any] = {"logarithm": {}, "power": {}}
    description = {"share": 0.95, "fit_epsilon": 1e-3, "curves": curves, "formulas": formulas}
    left: Any = scaling_law.figure(found, description).axes[0]
    assert points(left, "a").shape == (3, 2), "beyond the n that were looked at there is no point"
    (container,) = left.containers
    (bars,) = container.lines[2]
    assert [segment[1][1] for segment in bars.get_segments()] == [99, 99, 99]
    (fit,) = (line for line in left.get_lines() if line.get_linestyle() == "-" and line.get_marker() == "None")
    np.testing.assert_allclose(fit.get_xydata(), [[x, 3 * np.log2(1 / x) + 1] for x in (1e-3, 1e-6)])


@pytest.mark.slow
@pytest.mark.parametrize("draw", [scaling, failures])
def test_equal_numbers_give_equal_files(draw: Any, tmp_path: Path) -> None:
    first, again = (save_figure(draw(), tmp_path / name) for name in ("a", "b"))
    for one, other in zip(first, again, strict=True):
        assert one.stat().st_size > 10_000
        assert one.read_bytes() == other.read_bytes()
