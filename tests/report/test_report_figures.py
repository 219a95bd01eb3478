"""Figures of lth-report: redrawn from points, of one experiment together, in the place of published ones."""

import re
from pathlib import Path
from typing import Any

import pytest
from report.folders import make_run, own_figure

from lth_runner.cli import report as command
from lth_runner.report.figures import along, comparable
from lth_runner.report.groups import Section, sections
from lth_runner.report.points import figures_json, points_csv
from lth_runner.report.read import read_runs


@pytest.mark.slow
def test_runs_that_hold_points_are_redrawn_from_their_folders_alone(tmp_path: Path) -> None:
    for seed, hidden in ((0, 100), (1, 100), (0, 1000)):
        make_run(tmp_path / "runs" / f"{hidden}-{seed}", hidden, seed)
        own_figure(tmp_path / "runs" / f"{hidden}-{seed}", log_axis=seed == 1, kind="density")
    page = command.report([tmp_path / "runs"], tmp_path / "out", "")
    own = [tmp_path / "out" / name / "density.svg" for name in ("100-0", "100-1", "1000-0")]
    assert own[0].read_bytes() == own[2].read_bytes() != own[1].read_bytes()
    assert not list((tmp_path / "runs").rglob("density.svg")), "a report leaves runs as they are"
    text = (tmp_path / "out" / "report.md").read_text()
    assert "![widths: density of 1000-0](1000-0/density.svg)" in text
    assert "widths: accuracy and error over density, one line for each setting" in text, "and all of them in one figure"
    assert page.read_text().count("<svg ") == 2 + 3


@pytest.mark.slow
def test_the_settings_of_an_experiment_are_in_one_figure(tmp_path: Path) -> None:
    """Each run's own figure of curves would show the same again."""
    for seed, hidden in ((0, 100), (1, 100), (0, 1000)):
        make_run(tmp_path / "runs" / f"{hidden}-{seed}", hidden, seed)
        own_figure(tmp_path / "runs" / f"{hidden}-{seed}", log_axis=True)
    page = command.report([tmp_path / "runs"], tmp_path / "out", "").read_text()
    assert sorted(path.name for path in (tmp_path / "out").glob("*.svg")) == [
        "widths_curves.svg", "widths_over_network_hidden.svg",
    ]  # fmt: skip
    assert page.count("<svg ") == 2
    for hidden in (100, 1000):
        assert f"closest, network.hidden={hidden}, test accuracy (%): 66, n: 8" in page
    command.report([tmp_path / "runs" / "100-0"], tmp_path / "alone", "")
    assert (tmp_path / "alone" / "curves.svg").exists(), "a run alone draws itself"


def law_figure(folder: Path, kind: str, scale: float) -> None:
    """A run's own figure of a kind other than accuracy alone, as its study writes it; values by `scale`."""
    label = {"closest": "SubsetSum"}
    descriptions: dict[str, dict[str, Any]] = {
        "overlap": {"axis": "n", "axis_label": "n", "labels": label, "target_accuracy": 0.9, "caption": ""},
        "failure_probability": {"panels": {"grid": {"title": "exact sums", "labels": label, "formulas": {}}}},
        "scaling_law": {
            "share": 0.95, "fit_epsilon": 0.1, "formulas": {"logarithm": {}, "power": {}},
            "curves": {"closest": {"label": "SubsetSum", "growth": "logarithm", "fit": None}},
        },
    }  # fmt: skip
    lines: list[dict[str, Any]] = [
        {
            "panel": "grid", "curve": "closest", "n": n * scale, "epsilon": 10.0**-n, "accuracy": scale * n / 20,
            "overlap_sums": 0.1 * scale, "overlap_sums_chance": 0.1, "failures": 8 - n,
            "failure_share": (8 - n) * scale / 10,
            "failure_low": 0.0, "failure_high": 2.0, "n_low": n, "n_high": 2 * n, "max_n": 16,
        }
        for n in (2, 4, 8)
    ]  # fmt: skip
    for line in lines:
        del line["panel" if kind != "failure_probability" else "accuracy"]
    (folder / "points.csv").write_text(points_csv(lines))
    (folder / "figures.json").write_text(figures_json({kind: {"kind": kind, **descriptions[kind]}}))


@pytest.mark.parametrize(
    ("kind", "shown", "curve", "setting"),
    [
        (
            "overlap",
            "accuracy and error over n",
            "SubsetSum, test accuracy (%): 40, n: 8",
            "network.hidden=100, constructed weights found too (%): 15, n: 8",
        ),
        (
            "failure_probability",
            "failure share over n",
            "exact sums: SubsetSum, share of failures: 0.4, n: 8",
            "exact sums: SubsetSum, network.hidden=1000, share of failures: 0.4, n: 4",
        ),
        (
            "scaling_law",
            "n over epsilon",
            "SubsetSum, smallest n: 6, epsilon: 0.0001",
            "SubsetSum, network.hidden=100, smallest n: 6, epsilon: 0.0001",
        ),
    ],
)
def test_seeds_and_settings_share_a_figure(tmp_path: Path, kind: str, shown: str, curve: str, setting: str) -> None:
    """Seeds alone are a line for each curve, settings a line for each setting."""
    said = {"curve": curve, "setting": setting}
    for seed, hidden in ((0, 100), (1, 100), (0, 1000)):
        make_run(tmp_path / "runs" / f"{hidden}-{seed}", hidden, seed)
        law_figure(tmp_path / "runs" / f"{hidden}-{seed}", kind, scale=1 + seed)
    for what, runs in (("curve", ["100-0", "100-1"]), ("setting", ["100-0", "100-1", "1000-0"])):
        command.report([tmp_path / "runs" / run for run in runs], tmp_path / what, "")
        line = "method" if kind == "overlap" and what == "curve" else what
        assert f"widths: {shown}, one line for each {line}" in (tmp_path / what / "report.md").read_text()
        svg = (tmp_path / what / "widths_curves.svg").read_text()
        assert re.search(f"<title>[^<]*{re.escape(said[what])}", svg)


def test_a_damaged_description_stops_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "runs" / "a", 100, 0)
    (tmp_path / "runs" / "a" / "figures.json").write_text("{")
    command.main([str(tmp_path / "runs")])
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'runs' / 'report' / 'report.html'}\n"
    assert "figures.json is damaged" in told.err


@pytest.mark.slow
def test_points_of_published_figures_are_redrawn_in_their_place_or_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / "results" / name).mkdir(parents=True)
        own_figure(tmp_path / "results" / name)
    one = tmp_path / "results" / "one"
    command.main([str(one)])
    assert sorted(path.name for path in one.iterdir()) == ["curves.png", "curves.svg", "figures.json", "points.csv"]
    assert capsys.readouterr().out == f"{one / 'curves.png'}\n{one / 'curves.svg'}\n"
    command.main([str(one), "--out", str(tmp_path / "beside")])
    assert sorted(path.name for path in (tmp_path / "beside").iterdir()) == ["curves.png", "curves.svg"]
    command.main([str(tmp_path / "results"), "--out", str(tmp_path / "all")])
    assert (tmp_path / "all" / "two" / "curves.svg").read_bytes() == (one / "curves.svg").read_bytes()


def over(section: Section, key: str) -> set[tuple[str, Any]]:
    """The points that are drawn over a setting, by curve."""
    return {(line["curve"], line[key]) for line in along(section, key, comparable(section, key))}


def test_only_groups_that_share_the_other_settings_are_drawn_together(tmp_path: Path) -> None:
    for number, (hidden, rate) in enumerate(((100, 0.1), (200, 0.1), (300, 0.2), (400, 0.3))):
        make_run(tmp_path / str(number), hidden, 0, extra={"rate": rate})
    (section,) = sections(read_runs([tmp_path]).runs)
    assert section.varying == ["network.hidden", "extra.rate"]
    assert over(section, "extra.rate") == set(), "no two runs agree in the width"
    assert over(section, "network.hidden") == {(name, w) for name in ("closest", "target") for w in (100, 200)}
    for number, (hidden, rate) in enumerate(((100, 0.1), (200, 0.1), (300, 0.2), (300, 0.1))):
        make_run(tmp_path / "more" / str(number), hidden, 0, extra={"rate": rate})
    (section,) = sections(read_runs([tmp_path / "more"]).runs)
    assert over(section, "network.hidden") == {
        (name, hidden) for name in ("closest", "target") for hidden in (100, 200, 300)
    }, "one with a rate of 0.2 stands alone, and without it the rate tells nothing apart"
    assert over(section, "extra.rate") == {(name, rate) for name in ("closest", "target") for rate in (0.1, 0.2)}
    make_run(tmp_path / "more" / "4", 200, 0, extra={"rate": 0.2})
    (section,) = sections(read_runs([tmp_path / "more"]).runs)
    assert ("closest, extra.rate=0.2", 300) in over(section, "network.hidden")


@pytest.mark.slow
def test_a_description_of_nonsense_stops_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "a", 100, 0)
    own_figure(tmp_path / "a")
    (tmp_path / "a" / "figures.json").write_text('{"curves": {"kind": "curves", "axis": "n", "labels": 3}}')
    command.main([str(tmp_path / "a"), "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "report.html").exists()
    assert capsys.readouterr().err.startswith("lth-report: the figure")
