"""What goes wrong in the world: processes are killed, disks are full or read-only, files are damaged."""

import json
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sweep.sweeping import SMALL, lth_run_here, summaries

from lth_runner.core.errors import DataError
from lth_runner.ticket.file import read_ticket

# Importing torch and loading kernels takes seconds, so the sweeps are forks of one process that has done so.
KILL_A_SWEEP = """
    import json, os, random, signal, sys, time
    from pathlib import Path
    from lth_runner import run
    from lth_runner.cli import run as cli

    def sweep(folder, kill_after=None):
        start, sweeps = time.monotonic(), len(list(folder.glob("runs/sweeps/*/sweep.json")))
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            os.environ["LTH_CACHE"] = str(folder / "cache")
            sys.argv = ["lth-run", "-m", *arguments]
            cli.main()
            sys.stdout.flush()
            os._exit(0)
        if kill_after is not None:
            while len(list(folder.glob("runs/sweeps/*/sweep.json"))) == sweeps:  # it is only making its plan
                time.sleep(0.01)
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return status, time.monotonic() - start

    top, draw = Path(sys.argv[1]), random.Random(0)
    arguments = json.loads(sys.argv[2])
    os.chdir(top)
    os.environ["LTH_CACHE"] = str(top / "cache")
    sys.argv = ["lth-run", *arguments[:-1]]
    cli.main()
    undisturbed, disturbed = top / "undisturbed", top / "disturbed"
    status, took = sweep(undisturbed)
    assert status == 0
    kills = cut = 0
    for _ in range(10):
        status, _ = sweep(disturbed, kill_after=draw.uniform(0, took / 12))  # five fit, were it twice as fast
        kills += os.WIFSIGNALED(status)  # the last ones may find nothing left to do, and end before their time
        summaries = [json.loads(path.read_text())["status"] for path in disturbed.glob("runs/*/summary.json")]
        cut += summaries.count("running")
    status, _ = sweep(disturbed)
    assert status == 0
    assert kills >= 5, f"only {kills} of ten sweeps were killed"
    assert cut, "no kill hit a run"
"""


@pytest.mark.slow
def test_killed_at_ten_moments_a_sweep_comes_to_the_same_end(tmp_path: Path) -> None:
    for name in ("undisturbed", "disturbed"):
        (tmp_path / name).mkdir()
    arguments = json.dumps([*SMALL, "study.values=[2,4]", "seed=0,1,2,3,4,5"])
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILL_A_SWEEP), str(tmp_path), arguments],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **one_thread},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = summaries(tmp_path / "disturbed" / "runs")
    assert len(found) == 6
    assert found == summaries(tmp_path / "undisturbed" / "runs")


def mounted(folder: Path, *arguments: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting needs root and its rights: {done.stderr.strip()}")


@pytest.fixture
def unmounted(tmp_path: Path) -> Iterator[None]:
    """Whatever the test mounts as disk or cache is taken down."""
    yield
    for name in ("disk", "cache"):
        subprocess.run(["umount", str(tmp_path / name)], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["4k", "12k", "28k"])
def test_a_full_disk_leaves_no_half_a_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unmounted: None, size: str
) -> None:
    """It is full from the start, in the middle, and at the tickets; with room again, the same command ends well."""
    disk = tmp_path / "disk"
    mounted(disk, "-t", "tmpfs", "-o", f"size={size}", "lth_runner_test")
    refusal = lth_run_here(monkeypatch, tmp_path, *SMALL, "runs_dir=disk")
    assert refusal is not None
    assert "No space left on device" in refusal
    assert "free some space or choose another folder" in refusal
    assert "\n" not in refusal
    for path in disk.rglob("summary.json"):
        assert json.loads(path.read_text())["status"] in ("running", "failed")
    assert list(disk.rglob("*.tmp")) == []
    mounted(disk, "-o", "remount,size=20m")
    assert lth_run_here(monkeypatch, tmp_path, *SMALL, "runs_dir=disk") is None
    assert [summary["status"] for summary in summaries(disk).values()] == ["ok"]


@pytest.mark.slow
@pytest.mark.parametrize("filled", [True, False])
def test_a_read_only_cache(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unmounted: None,
    capsys: pytest.CaptureFixture[str],
    filled: bool,
) -> None:
    """What is in it is used; what is not is made for this run alone, with a warning."""
    cache = tmp_path / "cache"
    cache.mkdir()
    if filled:
        assert lth_run_here(monkeypatch, tmp_path, *SMALL, "runs_dir=first") is None
    mounted(cache, "--bind", str(cache))
    mounted(cache, "-o", "remount,bind,ro")
    capsys.readouterr()
    assert lth_run_here(monkeypatch, tmp_path, *SMALL) is None
    out = capsys.readouterr().out
    assert ("trained before" in out) == filled
    assert ("warning: the trained target is not kept for the next run: cannot write" in out) == (not filled)
    if filled:
        assert summaries(tmp_path / "runs") == summaries(tmp_path / "first")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_a_damaged_target_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lth_run_here(monkeypatch, tmp_path, *SMALL) is None
    first = summaries(tmp_path / "runs")
    (target,) = (tmp_path / "cache" / "targets").glob("*.safetensors")
    whole, tensors = target.read_bytes(), load_file(target)
    for damage in (lambda: flip(target, len(whole) - 100), lambda: target.write_bytes(whole[:-8])):
        damage()
        capsys.readouterr()
        assert lth_run_here(monkeypatch, tmp_path, *SMALL, "rerun=true") is None
        assert "is damaged" in capsys.readouterr().out
        assert all(np.array_equal(tensor, tensors[name]) for name, tensor in load_file(target).items())
        assert summaries(tmp_path / "runs") == first


@pytest.mark.slow
def test_a_damaged_ticket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lth_run_here(monkeypatch, tmp_path, *SMALL) is None
    (path,) = tmp_path.glob("runs/*/ticket.safetensors")
    read_ticket(path)
    draw = random.Random(0)
    for _ in range(20):
        position = draw.randrange(path.stat().st_size)
        flip(path, position)
        with pytest.raises(DataError):
            read_ticket(path)
        flip(path, position)
    read_ticket(path)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_and_a_repaired_one_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    weights = tmp_path / "weights.safetensors"
    save_file({"a": draw.normal(size=(8, 64)), "b": draw.normal(size=(10, 8))}, weights)
    whole = weights.read_bytes()
    arguments = [
        "data=synthetic", "data.train_count=200", "network.inputs=64", "network.hidden=8", "method=subset_sum", "n=6",
        "wandb.mode=disabled", "device=cpu", "target=checkpoint", "target.path=weights.safetensors",
    ]  # fmt: skip
    weights.write_bytes(whole[:-8])
    refusal = lth_run_here(monkeypatch, tmp_path, *arguments)
    assert refusal is not None
    assert "weights.safetensors" in refusal
    weights.write_bytes(whole)
    assert lth_run_here(monkeypatch, tmp_path, *arguments) is None
    assert sorted(summary["status"] for summary in summaries(tmp_path / "runs").values()) == ["ok"], (
        "what is refused leaves no folder"
    )
