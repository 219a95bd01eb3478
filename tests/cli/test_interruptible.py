"""Ctrl-C: 130, one line, no traceback, however often and whenever it is pressed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep.sweeping import FAULTY_PATH, faulty, lth_run, start, summaries

from lth_runner.cli.interruptible import INTERRUPTED, interruptible
from lth_runner.sweep.ledger import Entry
from lth_runner.sweep.progress import outcome_of

SAID = "lth-run: interrupted; the same command takes it up again"


@pytest.fixture(autouse=True)
def as_in_the_foreground() -> Iterator[None]:
    """What was started in the background ignores Ctrl-C, and so would whatever it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(process: subprocess.Popen[str], after: str) -> str:
    """Ctrl-C once the process has said a line; gives all that it said until then."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if after in line:
            break
    process.send_signal(signal.SIGINT)
    return said


@pytest.mark.slow
def test_the_second_one_ends_it_at_once(tmp_path: Path) -> None:
    arguments = [word for word in faulty(tmp_path) if word != "-m"]
    process = start(tmp_path, *arguments, "study.fate=stuck", **FAULTY_PATH)
    press(process, "at work")
    said = press(process, "tidying up")
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED
    assert said + rest == f"tidying up\n{SAID}\n"
    assert [summary["status"] for summary in summaries(tmp_path / "runs").values()] == ["running"]


@pytest.mark.slow
def test_a_stopped_sweep_counts_what_was_stopped_and_what_was_not_run(tmp_path: Path) -> None:
    code, out = lth_run(tmp_path, *faulty(tmp_path), "study.fate=well,interrupt,raise", **FAULTY_PATH)
    assert code == INTERRUPTED
    lines = out.splitlines()
    assert lines[-1] == SAID
    assert lines[-2].startswith("3 jobs: 1 finished, 0 skipped, 0 failed, 1 stopped, 1 not run, in ")
    assert "stopped  study.fate=interrupt  stopped by the keyboard" in out
    assert "Traceback" not in out


THREAD_LEFT = """
import sys, threading, time
from lth_runner.cli.interruptible import interruptible

with interruptible("line"):
    threading.Thread(target=time.sleep, args=[60]).start()
    print("at work", flush=True)
    time.sleep(60)
"""


def test_one_while_the_interpreter_waits_for_threads(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", THREAD_LEFT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    press(process, "at work")
    assert press(process, "line") == "line\n"
    rest, _ = process.communicate(timeout=20)
    assert (process.returncode, rest) == (INTERRUPTED, "")


def test_jobs_at_work_in_other_processes_are_stopped_with_the_sweep() -> None:
    assert outcome_of(Entry(number=0), None, stopped=True) == ("stopped", "stopped with the sweep")
    assert outcome_of(Entry(number=0), None, stopped=False)[0] == "killed"


def test_a_handler_of_somebody_else_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a command that nohup has started
    try:
        with interruptible("line"):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_afterwards_all_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible("line"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ValueError, match="mine"), interruptible("line"):
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before
