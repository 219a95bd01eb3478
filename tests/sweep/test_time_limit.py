"""What a job makes of the signal before its end, and what its sweep makes of that; on a real Slurm: test_slurm.py."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from sweep.sweeping import lth_run_here

from lth_runner.core.errors import ConfigError
from lth_runner.core.finished import read_summary
from lth_runner.record.folder import Requeued, RunFolder
from lth_runner.record.terminal import Terminal
from lth_runner.sweep.detached import detached_sweeps, note, take_detach
from lth_runner.sweep.ledger import REQUEUED, Entry, Report, read_entries
from lth_runner.sweep.progress import Progress, outcome_of
from lth_runner.sweep.time_limit import TimeLimitError, time_limit


def leave(number: int, frame: FrameType | None) -> None:
    """What submitit's handler does once the cluster has the job in its queue again."""
    del number, frame
    sys.exit(-1)


def give_up(number: int, frame: FrameType | None) -> None:
    """What it does where the limit has come too often."""
    del number, frame
    from submitit.core.utils import UncompletedJobError

    raise UncompletedJobError("Job not requeued because: timed-out too many times.")


@pytest.fixture
def on_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    before = signal.getsignal(signal.SIGUSR2)
    yield
    signal.signal(signal.SIGUSR2, before)


def signalled() -> None:
    os.kill(os.getpid(), signal.SIGUSR2)
    time.sleep(5)


def job(folder: Path) -> None:
    """One that is halfway when its time is up."""
    with Report(folder / "jobs", 3) as report, time_limit():
        report.started(folder / "run")
        with RunFolder(folder / "run", "a: 1\n") as run:
            run.checkpoint("far").parent.mkdir()
            run.checkpoint("far").write_text("so far")
            signalled()


@pytest.mark.usefixtures("on_cluster")
def test_a_job_that_is_queued_again_was_interrupted_and_has_not_failed(tmp_path: Path) -> None:
    signal.signal(signal.SIGUSR2, leave)
    with pytest.raises(Requeued) as end:
        job(tmp_path)
    assert end.value.code == -1
    assert signal.getsignal(signal.SIGUSR2) is leave
    summary = read_summary(tmp_path / "run")
    assert summary is not None
    assert summary["status"] == "interrupted"
    assert summary["error"] == "stopped at its time limit or for another job; the cluster starts it again"
    assert not (tmp_path / "run" / "traceback.txt").exists()
    assert [path.read_text() for path in tmp_path.glob("run/checkpoints/*")] == ["so far"]
    assert json.loads((tmp_path / "jobs" / "3.json").read_text())["status"] == REQUEUED


@pytest.mark.usefixtures("on_cluster")
def test_a_job_that_is_not_queued_again_says_what_to_set() -> None:
    signal.signal(signal.SIGUSR2, give_up)
    with pytest.raises(TimeLimitError, match=r"hydra\.launcher\.max_num_timeout allows: raise it"), time_limit():
        signalled()


def test_elsewhere_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    with time_limit():
        assert signal.getsignal(signal.SIGUSR2) is before


@pytest.mark.slow
def test_a_job_in_the_queue_again_has_not_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Entry(number=0, status=REQUEUED, why="its time was up").write(tmp_path)
    with Progress(Terminal(), tmp_path, ["seed=0"], [], lambda: None) as progress:
        time.sleep(0.5)
        assert progress.entries[0].status == REQUEUED
        Entry(number=0).write(tmp_path)  # it has started again
        time.sleep(0.5)
        Entry(number=0, status="ok").write(tmp_path)
    assert progress.entries[0].status == "ok"
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "requeued  seed=0  its time was up"
    assert out.count("requeued") == 1
    assert out.splitlines()[1].startswith("1/1 ok")
    assert outcome_of(Entry(number=0, status=REQUEUED), "CANCELLED", stopped=False) == (
        "killed",
        "the cluster says CANCELLED",
    )


def test_an_entry_that_has_not_ended_is_read_again(tmp_path: Path) -> None:
    Entry(number=0, status="failed").write(tmp_path)
    known = {0: Entry(number=0, status=REQUEUED)}
    assert read_entries(tmp_path, known)[0].status == "failed"
    Entry(number=0, status="ok").write(tmp_path)
    assert read_entries(tmp_path, {0: Entry(number=0, status="failed")})[0].status == "failed"


def test_detached_sweeps_are_found_until_they_are_closed(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a-1"
    note(tmp_path / "sweeps" / "1", ["lth-run"], ["seed=0"], [run], detached=True)
    note(tmp_path / "sweeps" / "2", ["lth-run"], ["seed=1"], [None], detached=False)
    (tmp_path / "sweeps" / "3").mkdir()
    (tmp_path / "sweeps" / "3" / "sweep.json").write_text("{")
    (found,) = detached_sweeps(tmp_path / "sweeps")
    assert found.launched == ["seed=0"]
    assert (found.has(run), found.has(run.with_name("b")), found.has(None)) == (True, False, False)
    found.close()
    assert detached_sweeps(tmp_path / "sweeps") == []
    assert json.loads((tmp_path / "sweeps" / "1" / "sweep.json").read_text())["launched"] == ["seed=0"]


@pytest.mark.slow
def test_detach_is_true_or_false(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-m", "experiment=smoke", "seed=0,1", "hydra/launcher=slurm", "hydra.launcher.detach=maybe"]
    refused = lth_run_here(monkeypatch, tmp_path, *words)
    assert refused == "lth-run: hydra.launcher.detach must be true or false, got 'maybe'"
    from omegaconf import OmegaConf

    config = OmegaConf.create({"hydra": {"launcher": {"_target_": "x"}}})
    assert take_detach(config) is False
    with pytest.raises(ConfigError):
        take_detach(OmegaConf.create({"hydra": {"launcher": {"detach": "maybe"}}}))
