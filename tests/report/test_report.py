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

import pytest
import yaml
from report.folders import accuracy, make_run, own_figure

from lth_runner.cli import report as command
from lth_runner.config.compose import composed
from lth_runner.report.groups import sections
from lth_runner.report.read import read_runs
from lth_runner.report.settings import varying

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


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


@pytest.mark.slow
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
    assert "| closest | 100.10 % ± 0.10 % | 2.0e-02 | 1 ± 1 | 3 | network.hidden=1000 |" in text
    assert re.search(r"\| failed \| training <diverged> \| failed \| widths \| failed/log.txt \| .*seed=7.* \|", text)
    assert re.search(r"\| damaged \| .*cannot be read.* \| damaged \| — \|", text)


def test_each_figure_has_its_files_and_each_experiment_its_command(written: Path) -> None:
    names = ["widths_over_network_hidden", "widths_curves"]
    text = (written / "report.md").read_text()
    for name in names:
        assert (written / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (written / f"{name}.svg").read_text().startswith("<?xml")
        assert f"({name}.svg)" in text
    assert text.count("    lth-run -m seed=0,1\n") == 1, "once for an experiment"


def test_the_page_needs_nothing_but_itself(written: Path) -> None:
    page = (written / "report.html").read_text()
    assert page.count("<svg ") == 2
    assert page.count("<code>lth-run -m seed=0,1</code>") == 1
    namespaces = r'xmlns(:\w+)?="[^"]+"|rdf:resource="[^"]+"'
    assert "http" not in re.sub(namespaces, "", page)
    assert not re.search(r"<(script\s|link|img|iframe)\b|@import|url\((?!#)|\b(fetch|import|XMLHttpRequest)\b", page)
    assert page.count("<script>") == 1, "its own, inside"
    assert "training &lt;diverged&gt;" in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_a_browser_shows_the_numbers(written: Path, tmp_path: Path) -> None:
    dom = browser(written / "report.html", tmp_path, "--dump-dom")
    cells = re.findall(r"<td[^>]*>(.*?)</td>", dom)
    name = 'closest <span class="small">network.<wbr>hidden=1000</span>'
    after = [cells[i + 1] for i, cell in enumerate(cells) if cell == name]
    assert after == ['100.10 % <span class="small">± 0.10 %</span>'] * 2, "in the overview, and in the table"
    assert "<title>" not in dom.partition("<body>")[2], "the script shows what the titles said"
    assert re.search(r'aria-label="[^"]*SubsetSum, network.hidden=100, test accuracy \(%\): 66, n: 8', dom)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_tables_sort_and_figures_say_their_values(written: Path, tmp_path: Path) -> None:
    """By their buttons, and under the pointer; nothing reaches beyond the sides of a narrow page."""
    page = (written / "report.html").read_text()
    act = """<script>
    const table = document.querySelectorAll("table")[1];
    const column = () => [...table.tBodies[0].rows].map(row => row.cells[1].dataset.value);
    const head = table.tHead.rows[0].cells[1].querySelector("button");
    const said = [];
    for (let i = 0; i < 2; i++) { head.click(); said.push(column().map(Number)); }
    const spot = document.querySelector("svg .value");
    spot.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    said.push(document.getElementById("tip").textContent, document.documentElement.scrollWidth <= innerWidth);
    document.title = JSON.stringify(said);
    </script>"""
    (tmp_path / "page.html").write_text(page.replace("</body>", act + "</body>"))
    dom = browser(tmp_path / "page.html", tmp_path, "--dump-dom", "--window-size=500,800")
    title = re.search(r"<title>(\[.*?)</title>", dom)
    assert title is not None
    up, down, tip, fits = json.loads(title[1])
    assert up == sorted(up) and down == up[::-1] and len(set(up)) > 2
    assert re.search(r"test accuracy \(%\): [\d.]+, n: 2", tip)
    assert fits


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_runs_without_an_experiment_are_named_by_what_they_do(tmp_path: Path) -> None:
    edge_popup = {"_target_": "lth_runner.search.edge_popup.EdgePopup"}
    make_run(tmp_path / "runs" / "a", 100, 0, name="run", compare={}, method=edge_popup)
    make_run(tmp_path / "runs" / "b", 100, 0, name="run")
    assert [section.name for section in sections(read_runs([tmp_path]).runs)] == ["closest on fc", "edge_popup on fc"]
    command.report([tmp_path], tmp_path / "out", "")
    assert (tmp_path / "out" / "edge_popup_on_fc_curves.svg").exists()


@pytest.mark.slow
def test_a_report_on_runs_by_their_names_does_not_go_into_the_first(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    command.main(["100-0", "1000-0"])
    assert (tmp_path / "runs" / "report" / "report.html").exists()
    assert not (tmp_path / "runs" / "100-0" / "report").exists()


@pytest.mark.slow
def test_damaged_runs_are_named_on_the_terminal_and_count_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("whole", "torn"):
        make_run(tmp_path / "runs" / name, 100, 0)
        (tmp_path / "runs" / name / "files.json").write_text('{"ticket.safetensors": 3}')
        (tmp_path / "runs" / name / "ticket.safetensors").write_bytes(b"abc")
    (tmp_path / "runs" / "torn" / "ticket.safetensors").write_bytes(b"ab")
    (tmp_path / "runs" / "unread").mkdir()
    (tmp_path / "runs" / "unread" / "summary.json").write_text("")
    command.main([str(tmp_path / "runs")])
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        f"lth-report: {tmp_path / 'runs' / 'torn'} is not whole: ticket.safetensors is gone or damaged; run it again"
    )
    assert second.startswith(f"lth-report: {tmp_path / 'runs' / 'unread'} cannot be read")
    text = (tmp_path / "runs" / "report" / "report.md").read_text()
    assert "3 runs, 1 ok, 2 damaged." in text
    assert "| closest | 91.00 % | 2.0e-02 | 0 | 1 |" in text


def test_the_overview_has_each_experiment_with_its_best_ticket(written: Path) -> None:
    text = (written / "report.md").read_text()
    overview = text.partition("## Overview")[2].partition("## ")[0]
    line = (
        "| widths | closest | 100.10 % ± 0.10 % | 98.00 % | — | 6 | network.hidden: 100, 1000 | network.hidden=1000 |"
    )
    assert line in overview


@pytest.mark.slow
def test_only_what_differs_from_the_experiment_is_said(tmp_path: Path) -> None:
    """The nulls of parts that are not there, and all that follows from another part, are not."""
    for name, words in {"a": [], "b": ["epsilon=0.1"], "c": ["target=synthetic"], "d": ["method=malach"]}.items():
        make_run(tmp_path / "runs" / name, 0, 0)
        config = yaml.safe_dump(composed(["experiment=smoke", *words]))
        (tmp_path / "runs" / name / "config.yaml").write_text(config)
    command.report([tmp_path / "runs"], tmp_path / "out", "")
    rows = [
        line for line in (tmp_path / "out" / "report.md").read_text().splitlines() if line.startswith("| closest |")
    ]
    assert [row.split(" | ", 6)[-1] for row in rows] == [
        " |", "epsilon=0.1 |", "target=synthetic |", "method=malach |",
    ]  # fmt: skip


def test_whatever_a_config_says_is_text(tmp_path: Path) -> None:
    script = "<script>alert('&')</script>"
    for number in range(2):
        make_run(tmp_path / "runs" / f"<b>{number}", 100, 0, name=script, extra={script: f"<i>{number}"})
        make_run(tmp_path / "runs" / f"<u>{number}", 100, 1, status="failed", name=script)
        own_figure(tmp_path / "runs" / f"<b>{number}")
    page = command.report([tmp_path / "runs"], tmp_path / "out", script).read_text()
    assert page.count("<script>") == 1
    assert not re.search(r"<[biu]>", page)
    assert "alert(&#x27;&amp;&#x27;)" in page


@pytest.mark.slow
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
    with pytest.raises(SystemExit, match="a folder's name is empty"):
        command.main([""])


def test_a_folder_without_runs_gets_no_report(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"there are no runs in .*: name a folder that holds some$"):
        command.main([str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "a", 100, 0)
    own_figure(tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="cannot write"):
        command.main([str(tmp_path / "a"), "--out", str(tmp_path / "file")])
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_names_of_folders_that_are_no_text_stop_no_report(tmp_path: Path) -> None:
    make_run(tmp_path / "caf\udce9" / "a", 100, 0)
    command.main([str(tmp_path / "caf\udce9"), "--out", str(tmp_path / "out")])
    assert "caf\\udce9" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_thousands_of_runs_make_one_report(tmp_path: Path) -> None:
    for number in range(2000):
        make_run(tmp_path / "runs" / str(number), hidden=number // 10, seed=number % 10)
    command.report([tmp_path / "runs"], tmp_path / "out", "")
    assert "one line for each setting; 14 of 200 settings" in (tmp_path / "out" / "report.md").read_text()
