"""What a sweep costs beside its work: 200 jobs of a tiny run, done for the first time, then found done.

    python scripts/bench_sweep.py --out results/bench_sweep

The first sweep trains nothing: its target is in the cache. Every job is a whole run with its folder, tables and tickets
of a network of 222 weights. The second sweep finds all 200 done; a third draws a figure in each run, as most runs do.
Where other programs keep the machine busy, processor time says more than the clock.

The last rows are two epochs of edge-popup in the redundant two-layer net, on 20,000 random images: one such run alone,
and two at once on the same cores; with the project's bound on how long waiting threads spin, and with OpenMP's own.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import lth_runner
from lth_runner.cli import run as cli
from lth_runner.report.tables import csv_text, markdown

TINY = [
    "-m", "experiment=smoke", "device=cpu", "data.train_count=200", "data.test_count=100", "network.inputs=64",
    "network.hidden=3", "target.epochs=1", "target.seed=0", "n=4", "study.values=[]",
]  # fmt: skip


def sweep(*more: str) -> np.ndarray:
    """Seconds of one sweep in this process by the clock and of its processor time, what it prints left out."""
    sys.argv = ["lth-run", *TINY, *more]
    start = np.array([time.perf_counter(), time.process_time()])
    with contextlib.redirect_stdout(io.StringIO()) as out:
        cli.main()
    took = np.array([time.perf_counter(), time.process_time()]) - start
    assert " 0 failed" in out.getvalue(), out.getvalue()
    return took


def wall_times(runs: Path) -> list[float]:
    """Of the runs themselves, from their summaries: folder, data, target, tickets, tables."""
    return [json.loads(path.read_text())["wall_time_s"] for path in runs.glob("*/summary.json")]


SEARCH = [
    "method=edge_popup", "~target", "network=redundant_fc", "data=synthetic", "data.side=28", "data.train_count=20000",
    "data.test_count=1000", "method.epochs=2", "wandb.mode=disabled", "device=cpu",
]  # fmt: skip
OPENMPS = "300000"  # spins by default, where there are as many cores as threads


def at_once(runs: int, spins: str) -> list[float]:
    """Seconds of each of so many runs side by side, in processes of their own."""
    with tempfile.TemporaryDirectory() as scratch:
        lth_run = [sys.executable, "-c", "from lth_runner.cli.run import main; main()", *SEARCH]
        environment = {**os.environ, "GOMP_SPINCOUNT": spins}
        started = [
            subprocess.Popen([*lth_run, f"seed={seed}"], cwd=scratch, env=environment, stdout=subprocess.DEVNULL)
            for seed in range(runs)
        ]
        ended = [process.wait() for process in started]
        assert not any(ended)
        return wall_times(Path(scratch) / "runs")


def side_by_side(repeats: int = 5) -> list[tuple[str, int, list[float | None]]]:
    """The rows of runs at once; the ways are taken in turn, and times are medians."""
    ways = [(runs, spins) for spins in (lth_runner.SPINS, OPENMPS) for runs in (1, 2)]
    times: dict[tuple[int, str], list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            times[way] += at_once(*way)
    return [
        (f"{runs} of edge-popup at once, {int(spins):,} spins", runs, [statistics.median(times[runs, spins]), None])
        for runs, spins in ways
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200, help="of the sweeps (default: 200)")
    parser.add_argument("--out", type=Path, help="stem of the .csv and .md files; none: print only")
    options = parser.parse_args()
    out = options.out and options.out.absolute()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        os.environ["LTH_CACHE"] = str(Path(scratch) / "cache")
        sweep("seed=100000", "study.values=[2]", "study.curves=[closest]", "runs_dir=warm")  # imports, kernels, target
        seeds = f"seed=range({options.jobs})"
        first = sweep(seeds) / options.jobs
        inside = [statistics.median(wall_times(Path("runs"))), None]
        again = sweep(seeds) / options.jobs
        one = sweep("seed=0")
        drawn_jobs = max(options.jobs // 20, 1)
        drawn = sweep(f"seed=range({drawn_jobs})", "study.values=[2]", "study.curves=[closest]", "runs_dir=drawn")
        drawn /= drawn_jobs
    beside = side_by_side()
    rows = [
        ("a job that is done already", options.jobs, again),
        ("a sweep of one job that is done", 1, one),
        ("a small job, target cached", options.jobs, first),
        ("  of which inside the run", options.jobs, inside),
        ("the same with a figure (PNG and SVG)", drawn_jobs, drawn),
        *beside,
    ]
    shown = [[name, str(jobs), *("" if s is None else f"{s:.4f}" for s in took)] for name, jobs, took in rows]
    table = markdown(["", "jobs", "seconds per job", "of processor time"], shown)
    print(table)
    if out:
        text = f"Made by `python scripts/bench_sweep.py --out results/bench_sweep` on {os.cpu_count()} cores "
        text += f"({platform.machine()}, Python {platform.python_version()}).\n\n{table}"
        out.with_suffix(".md").write_text(text)
        out.with_suffix(".csv").write_text(
            csv_text(["what", "jobs", "wall_s", "processor_s"], [[*row[:2], *row[2]] for row in rows])
        )


if __name__ == "__main__":
    main()
