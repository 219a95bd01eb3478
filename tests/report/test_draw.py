"""A folder's figures come from its points and descriptions alone."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lth_runner
from lth_runner.core.errors import LthError
from lth_runner.report.draw import draw, figure, known_kinds
from lth_runner.report.points import FIGURES, POINTS, figures_json, points_csv, read_figures, read_points

ROOT = Path(lth_runner.__file__).parent
RESULTS = Path(__file__).parents[2] / "results"
CURVES: dict[str, Any] = {
    "kind": "curves", "axis": "n", "axis_label": "n", "log_axis": False, "target_accuracy": 0.97, "epsilon": 0.01,
    "labels": {"closest": "SubsetSum"},
}  # fmt: skip
LINES = [{"curve": "closest", "n": n, "accuracy": 0.1 + 0.2 * n, "weight_error_median": 10.0**-n} for n in (1, 2, 3)]


def make(folder: Path, points: Any = LINES, **figures: Any) -> Path:
    folder.mkdir()
    (folder / POINTS).write_text(points_csv(points))
    (folder / FIGURES).write_text(figures_json(figures))
    return folder


def test_points_survive_to_the_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(200).tolist()
    points = [{"curve": "1e5", "panel": "07", "n": n, "y": y, "zero": 0.0, "one": 1.0} for n, y in enumerate(values)]
    points += [{"curve": "b, c", "n": -1, "y": None, "tiny": sys.float_info.min, "word": "weight", "huge": 10**30}]
    back = read_points(make(tmp_path / "a", points))
    columns = ["curve", "panel", "n", "y", "zero", "one", "tiny", "word", "huge"]
    assert back == [{column: point.get(column) for column in columns} for point in points]
    assert [type(value) for value in back[0].values()] == [str, str, int, float, float, float, *[type(None)] * 3]


def test_descriptions_survive(tmp_path: Path) -> None:
    assert read_figures(make(tmp_path / "a", curves=CURVES)) == {"curves": CURVES}


@pytest.mark.slow
def test_every_figure_is_drawn_beside_its_points_or_elsewhere(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", curves=CURVES, others={**CURVES, "log_axis": True})
    there = draw(folder)
    assert there == [folder / name for name in ("curves.png", "curves.svg", "others.png", "others.svg")]
    elsewhere = draw(folder, tmp_path / "b" / "c")
    assert [path.parent for path in elsewhere] == [tmp_path / "b" / "c"] * 4
    assert [path.read_bytes() for path in there] == [path.read_bytes() for path in elsewhere]
    assert all(path.stat().st_size > 10_000 for path in there)


def test_a_description_restyles_its_figure() -> None:
    drawn: Any = figure(LINES, {**CURVES, "labels": {"closest": "ours"}, "axis_label": "numbers", "epsilon": None})
    assert drawn.axes[0].get_xlabel() == "numbers"
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "ours", "target network", "median error", "largest error",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["curve", "../laws", "os", None])
def test_an_unknown_kind_is_one_sentence(kind: Any, tmp_path: Path) -> None:
    known = "curves, density, dots, failure_probability, failure_terms, losses"
    with pytest.raises(LthError, match=f"kind of a figure must be one of {known}"):
        draw(make(tmp_path / "a", curves={**CURVES, "kind": kind}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("[]", "must describe figures"),
        ('{"a": 1}', "must describe figures"),
        (json.dumps({"../a": CURVES}), "no name of a file"),
        (json.dumps({"": CURVES}), "no name of a file"),
        ('{"a": {"kind": "curves"}}', "lacks 'axis'"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    (folder / FIGURES).write_text(content)
    with pytest.raises(LthError, match=message):
        draw(folder)


@pytest.mark.parametrize("name", [POINTS, FIGURES])
def test_a_missing_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "a", curves=CURVES)
    (folder / name).unlink()
    with pytest.raises(LthError, match=rf"cannot read .*{name}"):
        draw(folder)


PUBLISHED = sorted(path.parent for path in RESULTS.glob(f"*/{FIGURES}"))


@pytest.mark.slow
@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_figures_are_drawn_from_the_files_beside_them(folder: Path) -> None:
    points = read_points(folder)
    for name, description in read_figures(folder).items():
        assert {f"{name}.png", f"{name}.svg", POINTS} <= {path.name for path in folder.iterdir()}
        assert description["kind"] in known_kinds()
        drawn: Any = figure(points, description)
        texts = [text for legend in drawn.legends for text in legend.get_texts()]
        texts += [text for ax in drawn.axes for text in ax.get_yticklabels()]
        shown = {text.get_text() for text in texts}
        assert set(description.get("labels", {}).values()) <= shown
        titles = [ax.get_title() for ax in drawn.axes]
        maps = description["panels"].values() if description["kind"] == "mask_distances" else ()
        assert shown or maps
        assert all(any(title.startswith(name) for title in titles) for name in maps)


def test_studies_draw_nothing() -> None:
    """Their points and descriptions are all that a figure is made of."""
    drawing = {f"lth_runner.report.{name}" for name in ("draw", "figures", "kinds", "laws", "plots", "style")}
    for path in [file for folder in ("studies", "laws") for file in (ROOT / folder).glob("*.py")]:
        words = path.read_text().split()
        imported = {word for word in words if word.startswith(("lth_runner.report", "matplotlib"))}
        assert not imported & (drawing | {"matplotlib"}), path


def test_figures_have_been_published_with_their_points() -> None:
    assert len(PUBLISHED) >= 5
