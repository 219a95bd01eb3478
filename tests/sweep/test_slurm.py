"""A sweep on a real Slurm of one node: one array, jobs that die, and the same command again. See make test-slurm."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep.sweeping import FAULTY_PATH, faulty, lth_run, slow, summaries
from sweep.test_parts import AWARE, FOUR, PARTS, statuses, tickets

SCRIPT = Path(__file__).parents[2] / "scripts" / "local_slurm.sh"
PROGRAMS = ("slurmctld", "slurmd", "munged", "slurmdbd", "mariadbd")
PATH = f"{os.environ['PATH']}:/usr/sbin"
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
ON_SLURM = [
    "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1",
    "hydra.launcher.timeout_min=5",
]  # fmt: skip

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed: make test-slurm installs them"),
    pytest.mark.skipif(os.getuid() != 0, reason="Slurm's daemons are started as root"),
]


def alive(program: str, pid: str) -> bool:
    try:
        status = Path("/proc", pid.strip(), "status").read_text()
    except OSError:
        return False
    return f"Name:\t{program}\n" in status and "State:\tZ" not in status  # a zombie only waits to be counted


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """Variables with which Slurm's commands find it; everything it started is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munged wants a path that everybody may follow, which pytest's folders are not
    try:
        subprocess.run([SCRIPT, "up", folder], check=True, timeout=120)
        pids = {path: path.read_text() for path in folder.glob("*.pid")}
        assert sorted(path.stem for path, pid in pids.items() if alive(path.stem, pid)) == sorted(PROGRAMS)
        yield {"SLURM_CONF": str(folder / "slurm.conf"), **FAULTY_PATH}
    finally:
        subprocess.run([SCRIPT, "down", folder], check=True, timeout=120)
    assert not [path.stem for path, pid in pids.items() if alive(path.stem, pid)]
    shutil.rmtree(folder)


def test_a_sweep_on_slurm_survives_its_jobs(slurm: dict[str, str], tmp_path: Path) -> None:
    arguments = [*faulty(tmp_path), "study.number=0,1", "study.fate=well,raise,kill,memory", *ON_SLURM]
    code, out = lth_run(tmp_path, *arguments, **slurm)
    assert code == 1, out
    assert "8 jobs: 2 finished, 0 skipped, 6 failed" in out
    assert out.splitlines()[-1] == "lth-run: 6 of 8 jobs did not finish; the same command runs those again"
    assert [s["status"] for s in summaries(tmp_path / "runs").values()].count("ok") == 2

    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    jobs = [path.parent.name for path in sweep.glob(".submitit/*/*_submitted.pkl")]
    assert len({job.split("_")[0] for job in jobs}) == 1, "one array"
    assert sorted(int(job.split("_")[1]) for job in jobs) == list(range(8))

    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    rows = [row for row in table if row[0]]
    assert [row[:2] for row in rows] == [
        [f"study.number={number} study.fate={fate}", "failed" if fate == "raise" else "killed"]
        for number in (0, 1)
        for fate in ("raise", "kill", "memory")
    ]
    text = "".join("".join(row[2].split()) for row in table)
    assert text.count("thecluster") == 4
    assert text.count("memorylimit") == 2, "the log says what Slurm did"
    for number, position in enumerate((1, 2, 3, 5, 6, 7)):
        (log,) = sweep.glob(f".submitit/*_{position}/*_log.out")
        assert log.name in _folded(table, number)

    code, out = lth_run(tmp_path, *arguments, **slurm, FAULTS="no")
    assert code == 0, out
    assert "8 jobs: 6 finished, 2 skipped, 0 failed" in out
    assert re.findall(r"skipped +study.number=(\d) study.fate=(\w+)", out) == [("0", "well"), ("1", "well")]
    assert {s["status"] for s in summaries(tmp_path / "runs").values()} == {"ok"}


def _folded(table: list[list[str]], number: int) -> str:
    """The log of a row, put together from the lines it was folded into."""
    starts = [i for i, row in enumerate(table) if row[0]] + [len(table)]
    return "".join(row[3] for row in table[starts[number] : starts[number + 1]])


def test_a_single_job_that_dies_is_named_too(slurm: dict[str, str], tmp_path: Path) -> None:
    """One job is no array, and submitit lays its folder out in another way."""
    code, out = lth_run(tmp_path, *faulty(tmp_path), "study.fate=kill", *ON_SLURM, **slurm)
    assert code == 1
    assert "1 job: 0 finished, 0 skipped, 1 failed" in out
    assert "killed" in out
    (entry,) = tmp_path.glob("runs/sweeps/*/jobs/*.json")
    assert json.loads(entry.read_text())["status"] == "running"


def test_a_refused_submission_is_one_sentence(slurm: dict[str, str], tmp_path: Path) -> None:
    code, out = lth_run(
        tmp_path, *faulty(tmp_path), "study.number=0,1", *ON_SLURM, "hydra.launcher.partition=nowhere", **slurm
    )
    assert code == 1
    assert "invalid partition" in out.splitlines()[-1]


def test_slurm_without_accounts_is_refused(slurm: dict[str, str], tmp_path: Path) -> None:
    """There a killed job would be waited for for ever."""
    (tmp_path / "bin").mkdir()
    sacct = tmp_path / "bin" / "sacct"
    sacct.write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2\nexit 1\n")
    sacct.chmod(0o755)
    path = f"{sacct.parent}:{os.environ['PATH']}"
    code, out = lth_run(tmp_path, *faulty(tmp_path), "study.number=0,1", *ON_SLURM, **{**slurm, "PATH": path})
    assert code == 2
    assert "needs Slurm's accounting" in out


LIMIT = [
    "hydra.launcher.timeout_min=1",
    "hydra.launcher.signal_delay_s=5",
]  # Slurm's shortest limit; notice comes 5 to 65 s before


def test_at_its_time_limit_a_job_is_queued_again_and_goes_on(slurm: dict[str, str], tmp_path: Path) -> None:
    """More than a minute of work under a limit of one minute, and the ticket of a search that nobody disturbed."""
    arguments = [*slow(tmp_path), "method.epochs=24", "study.seconds=3"]
    code, out = lth_run(tmp_path, *arguments, *ON_SLURM, *LIMIT, **slurm)
    assert code == 0, out
    assert re.search(r"^requeued .*the cluster starts it again$", out, re.MULTILINE)
    assert "1 job: 1 finished, 0 skipped, 0 failed" in out
    ((name, disturbed),) = summaries(tmp_path / "runs").items()
    log = (tmp_path / "runs" / name / "log.txt").read_text()
    assert re.search(r"scores: going on after epoch \d+, from a checkpoint", log), log
    code, out = lth_run(tmp_path, *arguments, "runs_dir=undisturbed", **FAULTY_PATH, SLOW="no")
    assert code == 0, out
    assert summaries(tmp_path / "undisturbed") == {name: disturbed}


def test_a_job_whose_time_is_up_too_often_says_so(slurm: dict[str, str], tmp_path: Path) -> None:
    arguments = [*slow(tmp_path), "method.epochs=24", "study.seconds=3", *ON_SLURM, *LIMIT]
    code, out = lth_run(tmp_path, *arguments, "hydra.launcher.max_num_timeout=0", **slurm)
    assert code == 1
    assert "1 job: 0 finished, 0 skipped, 1 failed" in out
    (summary,) = summaries(tmp_path / "runs").values()
    assert summary["status"] == "failed"
    assert summary["error"].startswith("its time limit has come as often as hydra.launcher.max_num_timeout allows")
    assert list(tmp_path.glob("runs/*/checkpoints/*")), "what it has found is kept"


def test_a_detached_sweep_is_closed_by_the_same_command(slurm: dict[str, str], tmp_path: Path) -> None:
    arguments = [
        *faulty(tmp_path), "study.number=0,1", "study.fate=well,raise", "study.seconds=8", *ON_SLURM,
        "hydra.launcher.detach=true",
    ]  # fmt: skip
    code, out = lth_run(tmp_path, *arguments, **slurm)
    assert code == 0, out
    assert re.search(r"4 jobs handed to Slurm; the same command says how far they are; scancel \d+ stops", out)
    assert list(tmp_path.glob("runs/*-*/summary.json")) == [], "it has not waited"
    code, out = lth_run(tmp_path, *arguments, **slurm)
    assert code == 0, out
    assert re.search(r"[1-4] jobs? waiting or running; the same command", out), out
    deadline = time.monotonic() + 120
    while "waiting or running" in out and time.monotonic() < deadline:
        time.sleep(2)
        code, out = lth_run(tmp_path, *arguments, **slurm)
    assert code == 1
    assert "4 jobs: 2 finished, 0 skipped, 2 failed" in out
    assert out.splitlines()[-1] == "lth-run: 2 of 4 jobs did not finish; the same command runs those again"
    assert len(list(tmp_path.glob("runs/sweeps/*/.submitit"))) == 1, "nothing was handed over twice"

    code, out = lth_run(tmp_path, *arguments, **slurm, FAULTS="no")
    assert code == 0, out
    assert "4 jobs, 2 finished before" in out
    assert "2 jobs handed to Slurm" in out
    attached = [word for word in arguments if word != "hydra.launcher.detach=true"]
    code, out = lth_run(tmp_path, *attached, **slurm)  # which waits
    assert code == 0, out
    assert "2 jobs: 2 finished, 0 skipped, 0 failed" in out
    assert "2 jobs, 2 finished before" in out
    assert {s["status"] for s in summaries(tmp_path / "runs").values()} == {"ok"}


def test_a_ticket_in_parts_of_which_one_is_killed(slurm: dict[str, str], tmp_path: Path) -> None:
    """Four jobs make a part each and one is killed; it is made again alone, and the bytes are those of a single run."""
    own = [*PARTS, "target._target_=dying_target.Dying"]
    code, out = lth_run(tmp_path, "-m", *own, *FOUR, *ON_SLURM, **slurm)
    assert code == 1, out
    assert "4 jobs: 3 finished, 0 skipped, 1 failed" in out
    assert statuses(tmp_path) == ["ok", "ok", "running", "ok"]
    code, out = lth_run(tmp_path, *own, "parts=4", **slurm)
    assert code == 2
    assert out.strip() == "lth-run: 1 of 4 parts are not there: run them first, -m parts=4 part=2"

    code, out = lth_run(tmp_path, "-m", *own, *FOUR, *ON_SLURM, **slurm, FAULTS="no")
    assert code == 0, out
    assert "4 jobs: 1 finished, 3 skipped, 0 failed" in out
    assert statuses(tmp_path) == ["ok", "ok", "ok", "ok"]
    _is_the_ticket_of_a_single_run(tmp_path, own, 4, slurm)


def test_layers_wait_for_each_other_in_a_detached_sweep(slurm: dict[str, str], tmp_path: Path) -> None:
    """Two arrays, the second of which depends on the first: nobody waits here to launch it."""
    own = [*PARTS, *AWARE]
    arguments = ["-m", *own, "parts=2", "part=range(2)", "layer=range(2)", *ON_SLURM, "hydra.launcher.detach=true"]
    code, out = lth_run(tmp_path, *arguments, **slurm)
    assert code == 0, out
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    jobs = [path.parent.name for path in sweep.glob(".submitit/*/*_submitted.pkl")]
    first, second = sorted({int(job.split("_")[0]) for job in jobs})
    for array, waits in ((first, False), (second, True)):
        scripts = [path.read_text() for path in sweep.glob(f".submitit/{array}/*_submission.sh")]
        assert scripts and all((f"--dependency=afterany:{first}" in script) == waits for script in scripts)
    deadline = time.monotonic() + 120
    code, out = lth_run(tmp_path, *arguments, **slurm)
    while "waiting or running" in out and time.monotonic() < deadline:
        time.sleep(2)
        code, out = lth_run(tmp_path, *arguments, **slurm)
    assert code == 0, out
    assert "4 jobs: 4 finished, 0 skipped, 0 failed" in out
    _is_the_ticket_of_a_single_run(tmp_path, own, 2, slurm)


def _is_the_ticket_of_a_single_run(folder: Path, arguments: list[str], parts: int, variables: dict[str, str]) -> None:
    for words in ([*arguments, f"parts={parts}"], [*arguments, "runs_dir=whole"]):
        code, out = lth_run(folder, *words, **variables)
        assert code == 0, out
    assert tickets(folder / "runs") == tickets(folder / "whole") != {}
