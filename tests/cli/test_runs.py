"""lth-runs: a line for each run, and nothing removed that nobody agreed to."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lth_runner.cli import runs as command
from lth_runner.config.compose import composed


def make_run(folder: Path, seed: int, status: str = "ok", name: str | None = None) -> Path:
    path = folder / (name or f"smoke-{seed:010x}")
    (path / "wandb" / "files").mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "seed": seed}))
    summary = {"status": status, "error": None, "started": "2026-01-01T12:00:00", "wall_time_s": 1.0}
    (path / "summary.json").write_text(json.dumps({**summary, "closest/accuracy": 0.9 + seed / 100}))
    (path / "ticket.safetensors").write_bytes(b"123")
    return path


CONFIG = composed(["experiment=smoke"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        make_run(tmp_path / "runs", seed)
    make_run(tmp_path / "runs", 3, status="failed")
    return tmp_path / "runs"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(*words: str) -> str:
    with pytest.raises(SystemExit) as refused:
        command.main(list(words))
    assert refused.value.code in (1, 2)
    return str(refused.value)


def test_a_line_for_each_run_in_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["smoke", f"seed={seed}", s] for seed, s in enumerate(STATUS)]
    assert all(line.endswith(f"smoke-{seed:010x}") for seed, line in enumerate(lines))
    command.main([str(folder), "status=failed"])
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["smoke", "seed=3"]]


STATUS = ["ok", "ok", "ok", "failed"]


def test_machines_read_csv(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([str(folder), "seed=1,2", "--csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["seed"], row["closest/accuracy"], row["folder"]) for row in rows] == [
        (str(seed), repr(0.9 + seed / 100), str(folder / f"smoke-{seed:010x}")) for seed in (1, 2)
    ]


def on_terminal(columns: int, words: list[str], keys: str = "") -> str:
    """What the command shows on a terminal, where somebody presses keys."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", PROGRAM, *words], {**os.environ, "COLUMNS": str(columns)})
    os.write(terminal, keys.encode())
    said = b""
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
    except OSError:  # the terminal is closed
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return said.decode()


PROGRAM = "from lth_runner.cli.runs import main; main()"


@pytest.mark.slow
@pytest.mark.parametrize("columns", [30, 40, 72, 80, 200])
def test_no_number_is_cut_on_a_terminal(folder: Path, columns: int) -> None:
    said = on_terminal(columns, [str(folder)])
    for seed in range(4):
        assert f"{90 + seed}.00" in said
        assert f"smoke-{seed:010x}" in said
    assert "…" not in said
    assert ("results: closest 90.00" in " ".join(said.split())) == (columns < command.LEAST_WIDTH)


@pytest.mark.slow
def test_removing_asks_first(folder: Path) -> None:
    assert "nothing was removed" in on_terminal(200, ["rm", str(folder), "status=failed"], "n\n")
    assert "nothing was removed" in on_terminal(200, ["rm", str(folder), "status=failed"], "\n")
    assert len(left(folder)) == 4
    said = on_terminal(200, ["rm", str(folder), "status=failed"], "y\n")
    assert "smoke-0000000003" in said
    assert "remove 1 run for good? [y/N]" in said
    assert "removed 1 run" in said
    assert left(folder) == [f"smoke-{seed:010x}" for seed in range(3)]


def test_without_a_terminal_only_yes_removes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert "add --yes" in refusal("rm", str(folder), "status=failed")
    assert "smoke-0000000003" in capsys.readouterr().out, "it lists what it would have removed"
    assert len(left(folder)) == 4
    command.main(["rm", str(folder), "seed=0,1", "status=ok", "--yes"])
    assert capsys.readouterr().out.endswith("removed 2 runs\n")
    assert left(folder) == ["smoke-0000000002", "smoke-0000000003"]
    command.main(["rm", str(folder), "seed=0,1", "--yes"])
    assert capsys.readouterr().out == "no runs\n"


def test_all_runs_are_not_removed_by_saying_nothing(folder: Path) -> None:
    assert "say which runs to remove" in refusal("rm", str(folder), "--yes")
    assert "--yes removes" in refusal(str(folder), "--yes")
    assert "no filter" not in refusal("rm", str(folder / "missing"), "status=ok", "--yes")
    assert len(left(folder)) == 4


def test_a_run_that_is_being_executed_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys, time; from pathlib import Path; from lth_runner.core.files import locked\n"
    code += "with locked(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    busy = folder / "smoke-0000000001"
    with subprocess.Popen([sys.executable, "-c", code, str(busy / ".lock")], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            command.main(["rm", str(folder), "status=ok", "--yes"])
        finally:
            holder.kill()
    said = capsys.readouterr().out
    assert "smoke-0000000001: a process is working on it" in said
    assert said.endswith("removed 2 runs\n")
    assert left(folder) == ["smoke-0000000001", "smoke-0000000003"]
    assert (busy / "ticket.safetensors").exists()


def test_what_may_run_elsewhere_needs_to_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(folder, 4, status="running")
    command.main(["rm", str(folder), "seed=4", "--yes"])
    assert "it may be running on another machine" in capsys.readouterr().out
    command.main(["rm", str(folder), "status=killed", "--yes"])
    assert left(folder) == [f"smoke-{seed:010x}" for seed in range(4)]


def other_name(folder: Path) -> Path:
    return make_run(folder, 9, name="thesis")


def no_config(folder: Path) -> Path:
    path = make_run(folder, 9)
    (path / "config.yaml").unlink()
    return path


def run_inside(folder: Path) -> Path:
    path = make_run(folder, 9)
    make_run(path / "more", 10)
    return path


@pytest.mark.parametrize("make", [other_name, no_config, run_inside])
def test_what_is_no_run_folder_stays(
    folder: Path, make: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(folder)
    before = sorted(path.rglob("*"))
    command.main(["rm", str(folder), "status=ok,failed,damaged", "--yes"])
    assert "left alone: " in capsys.readouterr().out
    assert sorted(path.rglob("*")) == before
    assert left(folder) == [path.name]


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    keep = make_run(tmp_path / "elsewhere", 8)
    (folder / "smoke-0000000003" / "data").symlink_to(keep)
    command.main(["rm", str(folder), "status=failed", "--yes"])
    assert not (folder / "smoke-0000000003").exists()
    assert (keep / "ticket.safetensors").exists()


@pytest.mark.slow
def test_it_is_light_and_fast(tmp_path: Path) -> None:
    """1,000 runs: about a second, of which half is reading YAML; ten times that is allowed on a busy machine."""
    for number in range(1000):
        make_run(tmp_path / "runs", number)
    program = PROGRAM + "; import sys\nassert not {'torch', 'hydra', 'numba', 'wandb', 'matplotlib'} & set(sys.modules)"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1000
    assert time.monotonic() - start < 15


@pytest.mark.slow
def test_whoever_reads_may_stop(folder: Path) -> None:
    for seed in range(4, 200):
        make_run(folder, seed)
    words: dict[str, Any] = {"shell": True, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(f'"{sys.executable}" -c "{PROGRAM}" "{folder}" --csv | head -1', **words)
    assert (done.stderr, done.stdout.splitlines()[0][:4]) == ("", "name")


def test_mistakes_are_one_sentence(folder: Path) -> None:
    assert refusal(str(folder / "no")).startswith("lth-runs: there is no folder ")
    assert "no run here has a setting x" in refusal(str(folder), "x=1")
    assert "no run here has a setting method.solver" in refusal(str(folder), "method/solver=milp")
    assert "a word is empty" in refusal("rm", "", "status=failed", "--yes"), "as an unset variable leaves it"
    assert "--yes removes" in refusal(str(folder), "--csv", "--yes")


def test_a_folder_may_have_a_name_like_a_filter(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder.rename(folder.with_name("seed=1"))
    command.main([str(path), "compare/closest/solver=meet_in_middle", "seed=2"])
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["smoke", "seed=2"]


def test_a_name_with_line_ends_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "two\nlines", 0)
    command.main([str(tmp_path)])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_name_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    assert refusal("x" * 300).endswith("x: File name too long; choose a shorter name")


def test_nothing_is_removed_where_nobody_can_be_asked(folder: Path) -> None:
    words = ["rm", str(folder), "status=ok"]
    program = f"import sys; sys.stdin = None; from lth_runner.cli.runs import main; main({words!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no terminal to ask on: add --yes" in done.stderr
    assert len(left(folder)) == 4
