"""lth-report: run folders in; a table, figures and one page out, without torch and without a network."""

import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lth_runner.cli import report as command
from lth_runner.report.figures import along, comparable
from lth_runner.report.groups import Section, sections, varying
from lth_runner.report.points import figures_json, points_csv
from lth_runner.report.read import read_runs

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def accuracy(hidden: int, seed: int) -> float:
    return 0.9 + hidden / 10_000 + seed / 1000


def make_run(folder: Path, hidden: int, seed: int, status: str = "ok", **config: Any) -> None:
    folder.mkdir(parents=True)
    settings = {
        "name": "widths", "seed": seed, "epsilon": 0.01, "runs_dir": str(folder.parent), "wandb": {"group": "one"},
        "network": {"_target_": "lth_runner.networks.fc.FullyConnected", "hidden": hidden},
        "target": {"seed": seed, "cache": str(folder)}, "compare": {"closest": {"hidden": hidden}},
        "study": {"axis": "n", "labels": {"closest": "SubsetSum"}}, **config,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    summary: dict[str, Any] = {"status": status, "error": None, "started": "2026-01-01", "wall_time_s": 3.0 + seed}
    if status == "ok":
        summary |= {"target/accuracy": 0.98, "target/weight_error_max": 0.0, "target/over_epsilon": 0}
        summary |= {
            "closest/accuracy": accuracy(hidden, seed),
            "closest/weight_error_max": 0.02,
            "closest/over_epsilon": seed,
        }
    else:
        summary["error"] = "training <diverged>"
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "log.txt").write_text("")
    (folder / "environment.json").write_text(json.dumps({"command": ["/somewhere/bin/lth-run", "-m", "seed=0,1"]}))
    points = [
        {"curve": name, "n": n, "accuracy": 0.5 + n / 50, "weight_error_median": 10.0**-n, "weight_error_max": 0.1}
        for name in ("closest", "malach")
        for n in (2, 4, 8)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two widths by three seeds, one that failed, and one that is damaged."""
    folder = tmp_path_factory.mktemp("runs")
    for hidden in (1000, 100):
        for seed in range(3):
            make_run(folder / f"{hidden}-{seed}", hidden, seed)
    make_run(folder / "failed", 100, 7, status="failed")
    make_run(folder / "damaged", 100, 8)
    (folder / "damaged" / "summary.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def written(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    command.report([runs], out, "lth-report runs")
    return out


def test_what_varies_is_found_once_and_seeds_are_no_setting(runs: Path) -> None:
    found = read_runs([runs]).ok()
    assert varying(found) == ["network.hidden"]
    (section,) = sections(found)
    assert [(group.settings, len(group.runs)) for group in section.groups] == [((100,), 3), ((1000,), 3)]


def test_the_csv_has_means_and_spreads_over_seeds(written: Path) -> None:
    rows = list(csv.DictReader((written / "report.csv").read_text().splitlines()))
    assert [(row["network.hidden"], row["network"], row["runs"]) for row in rows] == [
        (hidden, network, "3") for hidden in ("100", "1000") for network in ("target", "closest")
    ]
    closest = rows[3]
    values = [accuracy(1000, seed) for seed in range(3)]
    assert float(closest["accuracy_mean"]) == statistics.fmean(values)
    assert float(closest["accuracy_std"]) == statistics.stdev(values)
    assert (closest["over_epsilon_mean"], closest["over_epsilon_std"]) == ("1.0", "1.0")


def test_markdown_shows_what_csv_holds(written: Path) -> None:
    text = (written / "report.md").read_text()
    assert "8 runs, 6 ok, 1 damaged, 1 failed." in text
    assert "| 1000 | closest | 3 | 100.10 % ± 0.10 % | 2.0e-02 | 1 ± 1 |" in text
    assert "| failed | failed | training <diverged> | failed/log.txt |" in text
    assert re.search(r"\| damaged \| damaged \| .*cannot be read.* \|", text)


def test_each_figure_has_its_files_and_its_command(written: Path) -> None:
    names = ["widths_over_network_hidden", "widths_curves_0", "widths_curves_1"]
    text = (written / "report.md").read_text()
    for name in names:
        assert (written / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (written / f"{name}.svg").read_text().startswith("<?xml")
        assert f"({name}.svg)" in text
    assert text.count("    lth-run -m seed=0,1\n") == len(names)


def test_the_page_needs_nothing_but_itself(written: Path) -> None:
    page = (written / "report.html").read_text()
    assert page.count("<svg ") == 3
    assert page.count("<code>lth-run -m seed=0,1</code>") == 3
    namespaces = r'xmlns(:\w+)?="[^"]+"|rdf:resource="[^"]+"'
    assert "http" not in re.sub(namespaces, "", page)
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\((?!#)", page)
    assert "training &lt;diverged&gt;" in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_a_browser_shows_the_numbers(written: Path, tmp_path: Path) -> None:
    dom = browser(written / "report.html", tmp_path, "--dump-dom")
    cells = re.findall(r"<td[^>]*>(.*?)</td>", dom)
    row = cells.index("1000", cells.index("1000") + 1)
    assert cells[row : row + 4] == ["1000", "closest", "3", '100.10 % <span class="spread">± 0.10 %</span>']


def browser(page: Path, profile: Path, *arguments: str) -> str:
    assert CHROMIUM is not None
    fixed = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    done = subprocess.run([*fixed, *arguments, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.slow
def test_the_command_writes_beside_the_runs_and_imports_nothing_heavy(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    program = (
        "import sys; from lth_runner.cli.report import main; main(['runs'])\n"
        "assert not {'torch', 'wandb', 'hydra', 'numba', 'lth_runner.record'} & set(sys.modules)\n"
    )
    for _ in range(2):  # a report is no run, so that a second one counts the same
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "runs/report/report.html\n"
        assert "8 runs, 6 ok" in (tmp_path / "runs" / "report" / "report.md").read_text()


def test_every_file_is_utf_8_in_any_locale(tmp_path: Path) -> None:
    """In a locale that cannot write these letters; what leaves the encoding to the locale is warned of."""
    for number, kind in enumerate(["ε ≤ é", "ä"]):
        make_run(tmp_path / "runs" / f"{number}", 10, 0, data={"kind": kind})
        own_figure(tmp_path / "runs" / f"{number}")
    command = [sys.executable, "-X", "warn_default_encoding", "-c", "from lth_runner.cli.report import main; main()"]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*command, str(tmp_path / "runs"), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=False, env=os.environ | plain,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "/lth_runner/" in line and "EncodingWarning" in line]
    texts = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".html", ".md", ".csv", ".svg")]
    assert len(texts) > 3
    assert "ε ≤ é" in "".join(path.read_text(encoding="utf-8") for path in texts)


def test_runs_of_other_experiments_stand_apart(runs: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "other", 100, 0, name="other", extra={"k": [1]})
    make_run(tmp_path / "again", 100, 0, name="other", extra={"k": [1, 2]})
    found = sections(read_runs([runs, tmp_path]).runs)
    assert [(section.name, section.varying) for section in found] == [
        ("other", ["extra.k"]), ("widths", ["network.hidden"]),
    ]  # fmt: skip
    assert [group.settings for group in found[0].groups] == [([1, 2],), ([1],)]


def own_figure(folder: Path, log_axis: bool = False) -> dict[str, Any]:
    """Gives a folder points and a description of its own figure."""
    description = {
        "kind": "curves", "axis": "n", "axis_label": "n", "log_axis": log_axis, "target_accuracy": None,
        "epsilon": None, "labels": {},
    }  # fmt: skip
    lines = [{"curve": "closest", "n": n, "accuracy": 0.5 + n / 50} for n in (2, 4, 8)]
    (folder / "points.csv").write_text(points_csv(lines))
    (folder / "figures.json").write_text(figures_json({"curves": description}))
    return description


@pytest.mark.slow
def test_runs_that_hold_points_are_redrawn_from_their_folders_alone(tmp_path: Path) -> None:
    for seed, hidden in ((0, 100), (1, 100), (0, 1000)):
        make_run(tmp_path / "runs" / f"{hidden}-{seed}", hidden, seed)
        own_figure(tmp_path / "runs" / f"{hidden}-{seed}", log_axis=seed == 1)
    page = command.report([tmp_path / "runs"], tmp_path / "out", "")
    own = [tmp_path / "out" / name / "curves.svg" for name in ("100-0", "100-1", "1000-0")]
    assert own[0].read_bytes() == own[2].read_bytes() != own[1].read_bytes()
    assert not list((tmp_path / "runs").rglob("curves.svg")), "a report leaves runs as they are"
    assert (tmp_path / "out" / "widths_curves_0.svg").exists(), "two seeds together"
    assert not (tmp_path / "out" / "widths_curves_1.svg").exists(), "the run's own figure is that of the group"
    text = (tmp_path / "out" / "report.md").read_text()
    assert "![widths: curves of 1000-0](1000-0/curves.svg)" in text
    assert page.read_text().count("<svg ") == 2 + 3


def test_a_damaged_description_stops_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "runs" / "a", 100, 0)
    (tmp_path / "runs" / "a" / "figures.json").write_text("{")
    command.main([str(tmp_path / "runs")])
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'runs' / 'report' / 'report.html'}\n"
    assert "figures.json is damaged" in told.err


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
def test_runs_without_an_experiment_are_named_by_what_they_do(tmp_path: Path) -> None:
    edge_popup = {"_target_": "lth_runner.search.edge_popup.EdgePopup"}
    make_run(tmp_path / "runs" / "a", 100, 0, name="run", compare={}, method=edge_popup)
    make_run(tmp_path / "runs" / "b", 100, 0, name="run")
    assert [section.name for section in sections(read_runs([tmp_path]).runs)] == ["closest on fc", "edge_popup on fc"]
    command.report([tmp_path], tmp_path / "out", "")
    assert (tmp_path / "out" / "edge_popup_on_fc_curves_0.svg").exists()


def test_sums_left_unsolved_have_a_column_where_there_are_any(tmp_path: Path) -> None:
    for name, unsolved in (("none", 0), ("some", 375)):
        make_run(tmp_path / name / "a", 100, 0)
        summary = tmp_path / name / "a" / "summary.json"
        summary.write_text(json.dumps({**json.loads(summary.read_text()), "closest/unsolved": unsolved}))
        command.report([tmp_path / name], tmp_path / f"{name}_out", "")
        assert ("left unsolved" in (tmp_path / f"{name}_out" / "report.md").read_text()) == bool(unsolved)


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^lth-report: there is no folder .*missing: name one that holds runs$"):
        command.main([str(tmp_path / "missing")])


@pytest.mark.slow
def test_thousands_of_runs_make_one_report(tmp_path: Path) -> None:
    for number in range(2000):
        make_run(tmp_path / "runs" / str(number), hidden=number // 10, seed=number % 10)
    command.report([tmp_path / "runs"], tmp_path / "out", "")
    assert "one of 6 drawn of 200 combinations" in (tmp_path / "out" / "report.md").read_text()
