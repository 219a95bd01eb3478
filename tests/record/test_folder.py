"""The run folder tells the truth however the run ends."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError, DataError, RunBusyError
from lth_runner.core.files import locked
from lth_runner.core.finished import LOCK, damaged_files, is_finished, read_summary
from lth_runner.core.recorder import Recorder
from lth_runner.record.folder import RunFolder, plain

CONFIG = "seed: 3\nnetwork:\n  hidden: 500\n"


def summary_of(path: Path) -> dict[str, Any]:
    summary = read_summary(path)
    assert summary is not None
    return summary


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def failing(path: Path, error: BaseException) -> None:
    with RunFolder(path, CONFIG) as folder:
        folder.metrics(n=1)
        folder.finish(accuracy=1.0)  # a result that came before the error is not one
        raise error


WORK_FOR_EVER = """
    import sys, time
    from lth_runner.record.folder import RunFolder
    with RunFolder(sys.argv[1], "a: 1") as folder:
        folder.metrics(n=1)
        sys.stdout.write("working\\n")
        sys.stdout.flush()
        time.sleep(60)
"""


def working(path: Path) -> subprocess.Popen[str]:
    process = python(WORK_FOR_EVER, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    return process


def test_a_run_that_ends_well(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", CONFIG)
    assert isinstance(folder, Recorder)
    with folder:
        assert summary_of(folder.path)["status"] == "running"
        folder.metrics(curve="closest", n=3, accuracy=0.9)
        folder.metrics(curve="closest", n=4, accuracy=np.float64(0.5))
        assert len((folder.path / "metrics.jsonl").read_text().splitlines()) == 2  # readable while the run goes on
        folder.say("a line for a person")
        folder.finish(kept_ratio=np.float64(9.5), solve_time_s=3, best="closest", missing=None)
        assert not is_finished(folder.path)
    assert is_finished(folder.path)
    summary = summary_of(folder.path)
    assert summary.pop("wall_time_s") >= 0
    assert summary.pop("started").startswith("20")
    assert summary == {
        "status": "ok", "error": None, "kept_ratio": 9.5, "solve_time_s": 3, "best": "closest", "missing": None,
    }  # fmt: skip
    assert (folder.path / "config.yaml").read_text() == CONFIG
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"curve": "closest", "n": 3, "accuracy": 0.9}, {"curve": "closest", "n": 4, "accuracy": 0.5}]
    assert "a line for a person" in (folder.path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ConfigError("n must be at least 1"), "failed", "n must be at least 1"),
        (ValueError("two\nlines"), "failed", "ValueError: two lines"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
        (KeyboardInterrupt(), "interrupted", "stopped by the keyboard"),
        (SystemExit(3), "failed", "SystemExit: 3"),
    ],
)
def test_a_run_that_does_not(tmp_path: Path, error: BaseException, status: str, text: str) -> None:
    with pytest.raises(type(error)):
        failing(tmp_path, error)
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["error"]) == (status, text)
    assert "accuracy" not in summary
    unexpected = not isinstance(error, ConfigError | KeyboardInterrupt)
    assert (tmp_path / "traceback.txt").exists() == unexpected


def test_a_new_attempt_starts_afresh(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        failing(tmp_path, ValueError("no"))
    with (tmp_path / "metrics.jsonl").open("a") as torn:
        torn.write('{"n": 2, "accu')
    with RunFolder(tmp_path, CONFIG) as folder:
        folder.metrics(n=7)
        folder.finish()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"n": 7}\n'
    assert not (tmp_path / "traceback.txt").exists()
    assert is_finished(tmp_path)


def test_checkpoints_stay_until_an_attempt_ends_well(tmp_path: Path) -> None:
    path = RunFolder(tmp_path, CONFIG).checkpoint("scores")
    path.parent.mkdir()
    path.write_text("3 epochs")
    for error in (KeyboardInterrupt(), ConfigError("no"), ValueError("no")):
        with contextlib.suppress(type(error)):
            failing(tmp_path, error)
        assert path.exists()
    with RunFolder(tmp_path, CONFIG) as folder:
        assert folder.checkpoint("scores").read_text() == "3 epochs"
        folder.finish()
    assert not path.parent.exists()


def test_a_run_without_a_result_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="finish"), RunFolder(tmp_path, CONFIG):
        pass
    assert summary_of(tmp_path)["status"] == "failed"


def test_the_folder_keeps_its_own_keys(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="wall_time_s"), RunFolder(tmp_path, CONFIG) as folder:
        folder.finish(wall_time_s=1.0)


def test_sigterm_is_recorded(tmp_path: Path) -> None:
    process = working(tmp_path)
    process.send_signal(signal.SIGTERM)
    code, _, _ = outcome(process)
    assert code == 128 + signal.SIGTERM
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["error"]) == ("interrupted", "stopped by SIGTERM")


def test_sigterm_handlers_of_others_are_left_alone(tmp_path: Path) -> None:
    def theirs(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with RunFolder(tmp_path, CONFIG) as folder:
            assert signal.getsignal(signal.SIGTERM) is theirs
            folder.finish()
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_works_outside_the_main_thread(tmp_path: Path) -> None:
    def work() -> None:
        with RunFolder(tmp_path, CONFIG) as folder:
            folder.finish()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert is_finished(tmp_path)


def test_a_killed_run_can_be_taken_up(tmp_path: Path) -> None:
    process = working(tmp_path)
    with pytest.raises(RunBusyError, match="another process is working on"), RunFolder(tmp_path, CONFIG):
        pytest.fail("two processes work on the same run")
    process.kill()
    outcome(process)
    assert summary_of(tmp_path)["status"] == "running"
    assert not is_finished(tmp_path)
    with RunFolder(tmp_path, CONFIG) as folder:
        folder.finish()
    assert is_finished(tmp_path)


def test_checking_and_running_can_be_one_held_step(tmp_path: Path) -> None:
    with locked(tmp_path / LOCK):
        assert not is_finished(tmp_path)
        with RunFolder(tmp_path, CONFIG) as folder:
            folder.finish()
        code, _, err = outcome(python(WORK_FOR_EVER, tmp_path))  # still held, although the run is over
    assert code == 1
    assert "RunBusyError" in err


@pytest.mark.parametrize("content", ["", '{"status": "o', "[1]", "null", "\0\xff"])
def test_a_damaged_summary_is_not_a_finished_run(tmp_path: Path, content: str) -> None:
    assert not is_finished(tmp_path)
    (tmp_path / "summary.json").write_text(content)
    assert read_summary(tmp_path) is None
    assert not is_finished(tmp_path)


def test_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*file/run: Not a directory; choose another folder") as error:
        RunFolder(tmp_path / "file" / "run", CONFIG).__enter__()
    assert "\n" not in str(error.value)


def test_a_full_disk_is_one_sentence_and_the_run_is_not_ok(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with (
        pytest.raises(DataError, match=r"cannot write .*metrics.jsonl: No space left on device"),
        RunFolder(tmp_path, CONFIG) as folder,
    ):
        folder.metrics(n=1)
    assert summary_of(tmp_path)["status"] == "failed"
    assert "No space left" in summary_of(tmp_path)["error"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "reason"), [("raise ValueError('mine')", "ValueError: mine"), ("pass", "DataError")]
)
def test_a_disk_that_takes_nothing_hides_no_error(tmp_path: Path, ending: str, reason: str) -> None:
    """No file may grow any more, as on a full disk: the error that surfaces is the run's own."""
    code = f"""
        import resource, sys
        from lth_runner.record.folder import RunFolder
        with RunFolder(sys.argv[1], "a: 1") as folder:
            folder.finish()
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            {ending}
    """
    code, _, err = outcome(python(code, tmp_path))
    assert code == 1
    assert reason in err.splitlines()[-1] or reason in err.splitlines()[-2]  # a note may follow it
    assert "File too large; free some space" in err
    assert summary_of(tmp_path)["status"] == "running"  # whole, and not ok
    assert not [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"]


def test_values_are_plain() -> None:
    assert plain(np.int64(3)) == 3
    assert type(plain(np.float32(0.5))) is float
    assert [plain(value) for value in (math.nan, math.inf, -np.inf)] == ["nan", "inf", "-inf"]
    assert math.isnan(float(str(plain(math.nan))))  # and can be read back as what they were
    with pytest.raises(TypeError, match="not \\[1\\]"):
        plain([1])


def test_importing_the_folder_is_cheap() -> None:
    code = """
        import sys
        import lth_runner.record.folder, lth_runner.record.wandb
        sys.stdout.write(" ".join(name for name in ("torch", "wandb", "matplotlib") if name in sys.modules))
    """
    code_, out, err = outcome(python(code))
    assert (code_, out, err) == (0, "", "")


def test_a_run_costs_little(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "first", CONFIG) as folder:
        folder.finish()
    start = time.monotonic()
    for i in range(5):
        with RunFolder(tmp_path / str(i), CONFIG) as folder:
            folder.finish()
    assert (time.monotonic() - start) / 5 < 0.25  # measured: 0.003 to 0.004 s
    assert os.listdir(tmp_path / "0")


@pytest.mark.parametrize("harm", ["delete", "truncate", "unlist"])
def test_a_run_with_a_damaged_file_is_not_finished(tmp_path: Path, harm: str) -> None:
    with RunFolder(tmp_path, CONFIG) as folder:
        folder.write_text("table.csv", "n,accuracy\n1,0.5\n")
        folder.result("ticket.safetensors").write_bytes(b"mask")
        folder.metrics(n=1)
        folder.finish()
    (tmp_path / "curves.png").write_bytes(b"drawn again at any time")
    (tmp_path / "log.txt").unlink()
    assert is_finished(tmp_path)
    if harm == "delete":
        (tmp_path / "ticket.safetensors").unlink()
    elif harm == "truncate":
        (tmp_path / "ticket.safetensors").write_bytes(b"m")
    else:
        (tmp_path / "files.json").write_text("{")
    assert damaged_files(tmp_path) == ["files.json" if harm == "unlist" else "ticket.safetensors"]
    assert not is_finished(tmp_path)


def test_a_run_of_an_earlier_version_stays_finished(tmp_path: Path) -> None:
    with RunFolder(tmp_path, CONFIG) as folder:
        folder.finish()
    (tmp_path / "files.json").unlink()
    assert is_finished(tmp_path)


def test_files_are_utf_8_in_every_locale(tmp_path: Path) -> None:
    program = """
        import sys
        from lth_runner.core.finished import read_summary
        from lth_runner.record.folder import RunFolder
        with RunFolder(sys.argv[1], "name: \\u00e9\\u03b5") as folder:
            folder.say("\\u03b5 \\u2264 0.01")
            folder.write_text("table.md", "\\u2014")
            folder.finish(best="\\u00e9")
        assert read_summary(sys.argv[1])["best"] == "\\u00e9"
    """
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == "name: éε"
    assert "ε ≤ 0.01" in (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "—"
