"""Sweeps for tests: the command, small jobs, and what they leave behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lth_runner.cli import run as cli

TIME_FIELDS = ("started", "wall_time_s", "solve_time_s")
SMALL = [  # a run of a tenth of a second, once Python has started
    "experiment=smoke", "device=cpu", "data.train_count=200", "data.test_count=100", "network.hidden=8",
    "target.epochs=1", "n=6", "study.values=[]",
]  # fmt: skip
PROGRAM = "import sys; from lth_runner.cli.run import main; main()"


def start(folder: Path, *arguments: str, **environment: str | None) -> subprocess.Popen[str]:
    """`lth-run ARGUMENTS` in `folder`, with a cache of its own there; variables that are None are unset."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    variables = {**os.environ, **one_thread, "LTH_CACHE": str(folder / "cache"), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={name: value for name, value in variables.items() if value is not None},
    )  # fmt: skip


def lth_run(folder: Path, *arguments: str, **environment: str | None) -> tuple[int, str]:
    """Exit code and output of the command."""
    process = start(folder, *arguments, **environment)
    out, _ = process.communicate(timeout=400)
    return process.returncode, out


def lth_run_here(patch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> str | None:
    """The command in this process, which saves starting another; gives the sentence with which it refused, if any."""
    patch.chdir(folder)
    patch.setenv("LTH_CACHE", str(folder / "cache"))
    patch.setattr(sys, "argv", ["lth-run", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return str(end)
    return None


def summaries(runs: Path) -> dict[str, dict[str, Any]]:
    """By folder name, everything the runs found out, times aside."""
    found = {path.parent.name: json.loads(path.read_text()) for path in runs.glob("*/summary.json")}
    return {
        name: {key: value for key, value in summary.items() if key.rpartition("/")[2] not in TIME_FIELDS}
        for name, summary in found.items()
    }


def faulty(folder: Path) -> list[str]:
    """Arguments for jobs of `faulty_study`, whose configs are written into `folder`: somebody's own study."""
    text = "_target_: faulty_study.Faulty\nfate: well\nnumber: 0\nseconds: 0.0\n"
    return [*_own_study(folder, "faulty", text), "~data", "~network", "~target"]


def slow(folder: Path) -> list[str]:
    """Arguments for a search by `slow_study`, whose config is written into `folder`."""
    return [
        *_own_study(folder, "slow", "_target_: slow_study.Slow\nseconds: 0.0\n"),
        "method=edge_popup", "~target", "data=synthetic", "data.train_count=200", "data.test_count=100",
        "network.inputs=64", "network.hidden=8", "method.validation=10", "device=cpu",
    ]  # fmt: skip


def _own_study(folder: Path, name: str, text: str) -> list[str]:
    """Arguments for a sweep of somebody's own study, whose config is written into `folder`."""
    study = folder / "mine" / "study"
    study.mkdir(parents=True, exist_ok=True)
    (study / f"{name}.yaml").write_text(text)
    return ["-m", "--config-dir", str(folder / "mine"), f"study={name}", f"name={name}", "wandb.mode=disabled"]


FAULTY_PATH = {"PYTHONPATH": str(Path(__file__).parent)}
