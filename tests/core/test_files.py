"""Locks: held by one process at a time, on file systems without flock too, and never by the dead."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lth_runner.core import marker
from lth_runner.core.errors import RunBusyError
from lth_runner.core.files import locked

HOLD = """
import errno, fcntl, sys, time
from pathlib import Path

def refused(*arguments):
    raise OSError(errno.ENOSYS, "Function not implemented")

fcntl.flock = refused
from lth_runner.core.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=[True, False], ids=["flock", "no flock"])
def flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        _without_flock(monkeypatch)
    return request.param


def _without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refused)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock on a file system without flock, until it reads a line."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_left_behind_is_taken_at_once(tmp_path: Path, flock: bool) -> None:
    (tmp_path / "lock").touch()  # as a flock leaves it
    waited: list[str] = []
    for _ in range(2):
        with locked(tmp_path / "lock", waited.append):
            assert len(list(tmp_path.iterdir())) == 1 if flock else 2
    assert not waited


def test_its_thread_may_take_it_again(tmp_path: Path, flock: bool) -> None:
    with locked(tmp_path / "lock"):
        with locked(tmp_path / "lock"):
            pass
        assert (tmp_path / "lock.held").exists() != flock
    assert not (tmp_path / "lock.held").exists()


def test_a_held_marker_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: subprocess.Popen[str]
) -> None:
    _without_flock(monkeypatch)
    with pytest.raises(RunBusyError, match="another process is working on"), locked(tmp_path / "lock"):
        pytest.fail("two hold it")

    def on_wait(file: str) -> None:
        assert file == str(tmp_path / "lock.held")
        holder.communicate("go on\n")

    with locked(tmp_path / "lock", on_wait):
        assert holder.returncode == 0


def test_a_marker_of_a_killed_process_is_taken_over_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: subprocess.Popen[str]
) -> None:
    _without_flock(monkeypatch)
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock"):
        assert f" {os.getpid()} " in (tmp_path / "lock.held").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "elsewhere/pid 1 abc", "\0"])
def test_a_marker_that_nobody_touches_is_waited_for_no_longer_than_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    _without_flock(monkeypatch)
    monkeypatch.setattr(marker, "PATIENCE_S", 0.4)
    monkeypatch.setattr(marker, "POLL_S", 0.1)
    (tmp_path / "lock.held").write_text(content)
    waited: list[str] = []
    with locked(tmp_path / "lock", waited.append):
        assert waited == [str(tmp_path / "lock.held")]


@pytest.mark.slow
def test_a_holder_at_work_is_never_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: subprocess.Popen[str]
) -> None:
    """Touched more often than the patience lasts, as by a process of another machine."""
    _without_flock(monkeypatch)
    monkeypatch.setattr(marker, "PATIENCE_S", 0.3)
    monkeypatch.setattr(marker, "POLL_S", 0.05)
    monkeypatch.setattr(marker, "BEAT_S", 0.05)
    (holder_marker := tmp_path / "lock.held").write_text("elsewhere/pid 1 abc")
    start = time.monotonic()
    last = iter(range(20))

    def touched(seconds: float) -> None:
        if next(last, None) is None:
            holder_marker.unlink()
        else:
            os.utime(holder_marker)
        real(seconds)

    real = time.sleep
    monkeypatch.setattr("time.sleep", touched)
    with locked(tmp_path / "lock", lambda _: None):
        assert time.monotonic() - start > 3 * marker.PATIENCE_S


def test_the_holder_touches_its_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_flock(monkeypatch)
    monkeypatch.setattr(marker, "BEAT_S", 0.02)
    with locked(tmp_path / "lock"):
        os.utime(tmp_path / "lock.held", (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / "lock.held").stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (tmp_path / "lock.held").stat().st_mtime > 0


def test_a_name_that_the_locale_cannot_write_is_one_sentence(tmp_path: Path) -> None:
    program = "import sys; from lth_runner.core.files import write_json; write_json(sys.argv[1] + '/\\u03b5', 1)"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=os.environ | plain, capture_output=True, text=True
    )
    assert "DataError: cannot write" in done.stderr
    assert done.stderr.endswith("this locale has no such letters in names of files; set LC_ALL=C.UTF-8\n")
