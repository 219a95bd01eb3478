"""The figure of accuracy against the fraction kept shows what it is given, whole and close to the top."""

from typing import Any

import numpy as np

from lth_runner.report.kinds import density

LINES = [
    {"curve": curve, "density": kept, "accuracy": top - 0.1 / (100 * kept) + shift, "kept": 200 * kept, "offered": 200}
    for curve, top in (("wide", 0.98), ("linear", 0.96))
    for kept in (0.02, 0.1, 0.5)
    for shift in (0, 0.01)
]
DESCRIPTION = {
    "kind": "density",
    "published": {"wide": [[0.5, 0.983], [0.01, 0.87]]},
    "target_accuracy": 0.985,
    "labels": {"wide": "wide net"},
    "caption": "how it was made",
}


def figure() -> Any:
    return density.figure(LINES, DESCRIPTION)


def test_both_panels_show_ours_and_the_published_values() -> None:
    for panel in figure().axes:
        lines = {line.get_label(): line for line in panel.get_lines()}
        np.testing.assert_allclose(lines["wide net"].get_xdata(), [0.02, 0.1, 0.5])
        np.testing.assert_allclose(lines["wide net"].get_ydata(), [93.5, 97.5, 98.3])
        np.testing.assert_allclose(lines["trained"].get_ydata(), [98.5, 98.5])
        hollow = [line for line in panel.get_lines() if line.get_linestyle() == ":" and len(line.get_xdata())]
        assert [(list(line.get_xdata()), list(line.get_ydata())) for line in hollow] == [([0.01, 0.5], [87.0, 98.3])]
        assert hollow[0].get_color() == lines["wide net"].get_color()
        assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "2", "5", "10", "25", "50"]
        assert len(panel.collections) == 2, "a band for each curve with several seeds"


def test_it_says_how_it_was_made_and_what_is_hollow() -> None:
    drawn = figure()
    assert drawn.get_suptitle() == "how it was made"
    (legend,) = drawn.legends
    assert {text.get_text() for text in legend.get_texts()} == {"wide net", "linear", "trained", "published"}


def test_one_panel_shows_all_and_one_the_top() -> None:
    whole, top = figure().axes
    assert (whole.get_ylim(), top.get_ylim()) == ((0, 100), (90, 100))


def test_the_top_is_where_the_best_of_all_lie() -> None:
    lines = [{**line, "accuracy": line["accuracy"] - 0.12} for line in LINES]
    harder = {**DESCRIPTION, "published": {}, "target_accuracy": None}
    assert density.figure(lines, harder).axes[1].get_ylim() == (80, 90)
    assert density.figure(lines, {**harder, "target_accuracy": 0.93}).axes[1].get_ylim() == (90, 100)
    assert density.figure(lines, {**harder, "published": {"wide": [[0.5, 0.91]]}}).axes[1].get_ylim() == (90, 100)


def test_curves_stand_over_what_was_really_kept() -> None:
    """A search may keep fewer than asked for; the mean over its seeds is where the point stands."""
    lines = [{**line, "kept": kept} for line, kept in zip(LINES[:2], (2, 4), strict=True)]
    curves = density.over_kept(lines)
    np.testing.assert_allclose(curves["wide"].x, [3 / 200])
    np.testing.assert_allclose(curves["wide"].mean, [0.935])


def test_a_figure_of_some_curves_shows_them_alone() -> None:
    drawn: Any = density.figure(LINES, {**DESCRIPTION, "published": {}, "curves": ["linear"]})
    labels = {line.get_label() for panel in drawn.axes for line in panel.get_lines()}
    assert "linear" in labels
    assert "wide net" not in labels
