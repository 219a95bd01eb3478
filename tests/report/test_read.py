"""Reading run folders back: every one counts, whatever state it is in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lth_runner.core.errors import DataError
from lth_runner.record.folder import RunFolder
from lth_runner.report.points import read_points
from lth_runner.report.read import flattened, read_run, read_runs

CONFIG = "seed: 3\nnetwork:\n  hidden: 500\n  layers: [1, 2]\nempty: {}\n'n': 12\nepsilon: 1.0e-05\n"


def make(folder: Path, status: Any = "ok", **values: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "summary.json").write_text(json.dumps({"status": status, **values}))
    return folder


def test_what_was_recorded_is_read(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", CONFIG) as folder:
        folder.metrics(curve="closest", n=3, accuracy=0.5)
        folder.finish(kept_ratio=9.5)
    (run,) = read_runs([tmp_path]).runs
    assert run.ok
    assert run.folder == tmp_path / "run"
    assert run.summary["kept_ratio"] == 9.5
    assert run.metrics() == [{"curve": "closest", "n": 3, "accuracy": 0.5}]
    assert run.config == {
        "seed": 3, "network.hidden": 500, "network.layers": [1, 2], "empty": {}, "n": 12, "epsilon": 1e-5,
    }  # fmt: skip
    assert read_run(tmp_path / "run") == run


def test_nothing_is_dropped(tmp_path: Path) -> None:
    make(tmp_path / "a" / "deep" / "down")
    make(tmp_path / "b", "failed", error="ValueError: no")
    make(tmp_path / "c", "running")
    for name, content in {"d": "", "e": '{"status": ', "f": "[1]", "g": "{}"}.items():
        (make(tmp_path / name) / "summary.json").write_text(content)
    (make(tmp_path / "h") / "config.yaml").write_text("a: [1")
    (make(tmp_path / "i") / "config.yaml").unlink()
    (make(tmp_path / "j") / "config.yaml").write_bytes(b"\xff\xfe\x00")
    make(tmp_path / "a" / "deep" / "down" / "wandb" / "copy")  # inside a run: not a run
    (tmp_path / "no_run").mkdir()
    found = read_runs([tmp_path, tmp_path / "b"])  # named twice, counted once
    assert [(run.folder.name, run.summary["status"]) for run in found.runs] == [
        ("down", "ok"), ("b", "failed"), ("c", "running"),
    ]  # fmt: skip
    assert [damaged.folder.name for damaged in found.damaged] == list("defghij")
    assert all(str(damaged.folder) in damaged.reason for damaged in found.damaged)
    assert [run.folder.name for run in found.ok()] == ["down"]
    assert [run.folder.name for run in found.not_ok()] == ["b", "c"]
    assert found.caption() == "10 runs, 1 ok, 7 damaged, 1 failed, 1 running"


def test_a_single_run_may_be_named(tmp_path: Path) -> None:
    assert read_runs([make(tmp_path / "a")]).caption() == "1 run, 1 ok"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        read_runs([tmp_path / "missing"])


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    run = read_run(make(tmp_path / "a"))
    assert run.metrics() == []
    (run.folder / "metrics.jsonl").write_text('{"n": 1}\n{"n": 2}\n{"n": 3, "accu')
    assert run.metrics() == [{"n": 1}, {"n": 2}]
    (run.folder / "metrics.jsonl").write_text('{"n": 1}\n{"n": \n{"n": 3}\n')
    with pytest.raises(DataError, match=r"line 2 of .*metrics.jsonl is damaged"):
        run.metrics()


def test_flattened() -> None:
    assert flattened({"a": {"b": {"c": 1}, "d": None}, "e": [{"f": 1}]}) == {"a.b.c": 1, "a.d": None, "e": [{"f": 1}]}


@pytest.mark.slow
def test_thousands_of_runs_are_read(tmp_path: Path) -> None:
    config = "".join(f"group{i}:\n" + "".join(f"  key{k}: {k / 10}\n" for k in range(8)) for i in range(8))
    values = {f"value{k}": k / 10 for k in range(40)}
    for i in range(2000):
        folder = make(tmp_path / f"sweep{i % 20}" / str(i), **values)
        (folder / "config.yaml").write_text(config)
    found = read_runs([tmp_path])
    assert found.caption() == "2000 runs, 2000 ok"
    assert len(found.runs[0].config) == 64


def test_importing_the_report_is_cheap() -> None:
    code = (
        "import sys, lth_runner.report.read, lth_runner.report.tables, lth_runner.report.plots\n"
        "heavy = {'torch', 'wandb', 'matplotlib', 'lth_runner.record'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    "config",
    ["a: &a [*a]", "a: &a {b: *a}", "seed: 2020-01-01", "x: !!set {a}", "? [a]\n: b"],
    ids=["circle of lists", "circle of mappings", "date", "set", "key"],
)
def test_configs_that_no_run_writes_are_damaged(tmp_path: Path, config: str) -> None:
    (make(tmp_path / "a") / "config.yaml").write_text(config)
    found = read_runs([tmp_path])
    assert [damaged.folder.name for damaged in found.damaged] == ["a"] and not found.runs


@pytest.mark.parametrize("name", ["config.yaml", "summary.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "a") / name
    path.unlink()
    os.mkfifo(path)
    (damaged,) = read_runs([tmp_path]).damaged
    assert "Not a file" in damaged.reason


def test_a_list_of_files_elsewhere_is_damaged(tmp_path: Path) -> None:
    (make(tmp_path / "a") / "files.json").write_text('{"/etc/passwd": 3, "../x": 1}')
    (damaged,) = read_runs([tmp_path]).damaged
    assert "files.json is gone or damaged" in damaged.reason


def test_metrics_that_are_no_mappings_are_damaged(tmp_path: Path) -> None:
    (make(tmp_path / "a") / "metrics.jsonl").write_text('{"n": 1}\n3\n{"n": 2}\n')
    with pytest.raises(DataError, match=r"line 2 of .*metrics\.jsonl is damaged"):
        read_run(tmp_path / "a").metrics()


def test_points_longer_than_their_headings_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(DataError, match=r"points\.csv: a table has lines longer than its headings: run it again"):
        read_points(tmp_path)
