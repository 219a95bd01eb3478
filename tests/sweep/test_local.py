"""Jobs that submitit starts beside this process: long ones are waited for, and only those that died are called dead."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from sweep import sweeping
from sweep.sweeping import FAULTY_PATH, faulty, lth_run, summaries

from lth_runner.sweep.remote import Remote

LOCAL = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"}


def submitted(sweep: Path, *processes: int) -> Remote:
    """As submitit leaves it: a folder for each job, named by its process, in the order of the jobs."""
    for k, process in enumerate(processes):
        folder = sweep / ".submitit" / str(process)
        folder.mkdir(parents=True)
        (folder / f"{process}_0_log.out").write_text(f"job {k}")
        pickle = folder / f"{process}_submitted.pkl"
        pickle.write_bytes(b"")
        os.utime(pickle, ns=(10**18 + k, 10**18 + k))
    return Remote(sweep, LOCAL)


def test_there_is_nobody_to_ask(tmp_path: Path) -> None:
    remote = submitted(tmp_path, 4_000_002, 4_000_001)
    remote.refresh()
    assert remote.ended(0) is None and remote.ended(1) is None and remote.stop_hint() is None


def test_logs_are_those_of_the_jobs(tmp_path: Path) -> None:
    """Numbers of processes start again at some point."""
    remote = submitted(tmp_path, 4_000_002, 4_000_001, 4_000_003)
    logs = [remote.log(position) for position in range(4)]
    assert [log and log.read_text() for log in logs] == ["job 0", "job 1", "job 2", None]


def test_one_waits_until_all_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_runner.sweep.remote.POLL_S", 0.05)
    jobs = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    waiting = threading.Thread(target=submitted(tmp_path, *(job.pid for job in jobs)).wait)
    waiting.start()
    for job in jobs:
        waiting.join(0.3)
        assert waiting.is_alive(), "a job is still at work"
        job.send_signal(signal.SIGKILL)
    waiting.join(10)
    assert not waiting.is_alive()
    for job in jobs:
        job.wait()


@pytest.mark.slow
def test_a_sweep_that_was_asked_after_often_ends_as_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five seconds the cluster is asked: here at once, so that short jobs will do."""
    often = f"from lth_runner.sweep import progress; progress.REFRESH_EVERY = 1; {sweeping.PROGRAM}"
    monkeypatch.setattr(sweeping, "PROGRAM", often)
    arguments = [*faulty(tmp_path), "study.number=0,1", "study.fate=well,kill", "hydra/launcher=submitit_local"]
    code, out = lth_run(tmp_path, *arguments, **FAULTY_PATH)
    assert code == 1
    assert out.splitlines()[-1] == "lth-run: 2 of 4 jobs did not finish; the same command runs those again"
    assert "4 jobs: 2 finished, 0 skipped, 2 failed" in out
    assert " ".join(out.split()).count("its process") == 2
    assert "the cluster" not in out and "Traceback" not in out
    found = summaries(tmp_path / "runs")
    assert sorted(summary["status"] for summary in found.values()) == ["ok", "ok", "running", "running"]
