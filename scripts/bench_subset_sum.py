"""Speed of all SubsetSum solvers on the same instances: those of the paper's Experiment 1 on MNIST.

python scripts/bench_subset_sum.py          a table, in about a minute
python scripts/bench_subset_sum.py --json   one JSON object instead
python scripts/bench_subset_sum.py --device cuda   meet in the middle on the CPU and on a GPU alone, side by side

Every weight of a 784-500-10 network (397,000) gets fresh coefficients a ~ U[-0.464, 0.541], the range of the weights of
a trained one. The weights are drawn too: w = 0.00762 t with t from Student's law with 2 degrees of freedom, clipped to
that range, which puts 68 % of them within .01 of zero, as in the trained network.
Slow solvers solve the first few instances only; rates are per instance, of the best of the repeats after a warm-up.
CPU seconds add up all threads: beside them one sees whether the machine had something else to do.
On a GPU the seconds run from NumPy arrays to NumPy arrays, with what is copied to the device and back.
"""

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from lth_runner.subset_sum.exhaustive import Exhaustive
from lth_runner.subset_sum.gpu import Gpu
from lth_runner.subset_sum.gurobi import Gurobi
from lth_runner.subset_sum.interface import Status, Subsets
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.subset_sum.milp import Milp
from lth_runner.subset_sum.single_best import single_best

LOW, HIGH, EPSILON = -0.464, 0.541, 0.01
PAPER = "gurobi"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One row of the table: `solve` on the first `count` instances with n values each."""

    name: str
    objective: str
    n: int
    count: int
    repeats: int
    solve: Callable[[np.ndarray, np.ndarray], Subsets]
    shared: bool = False


def instances(count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and weights of the module's text; the first few are the same whatever the count."""
    coefficients, weights = np.random.default_rng(1), np.random.default_rng(2)
    return coefficients.uniform(LOW, HIGH, (count, n)), np.clip(0.00762 * weights.standard_t(2, count), LOW, HIGH)


def job(name: str, solver: Any, objective: str, count: int, n: int = 21, repeats: int = 1, **more: Any) -> Job:
    """A row of the table: one solver with one objective."""

    def solve(values: np.ndarray, targets: np.ndarray) -> Subsets:
        return solver.solve(values, targets, EPSILON, objective)

    return Job(name=name, objective=objective, n=n, count=count, repeats=repeats, solve=solve, **more)


def device_jobs(count: int, device: str) -> list[Job]:
    """The rows of a GPU, each behind the same on the CPU."""
    solvers = {"meet_in_middle": MeetInMiddle(), f"gpu, {device}": Gpu(device=device)}
    return [
        *(job(name, each, "closest", count, n=n, repeats=5) for n in (21, 16) for name, each in solvers.items()),
        *(job(f"{name}, one row", each, "closest", count, repeats=5, shared=True) for name, each in solvers.items()),
        *(job(name, each, "sparsest", count, repeats=5) for name, each in solvers.items()),
        *(job(name, each, "closest", min(count, 2000), n=32, repeats=3) for name, each in solvers.items()),
    ]


def jobs(count: int, mip_count: int) -> list[Job]:
    """All rows of the table, fast solvers first."""
    ours, paper = MeetInMiddle(), Gurobi(mip_gap=0.01, threads=0, time_limit=None)
    few = max(1, mip_count // 2)

    def one_best(values: np.ndarray, targets: np.ndarray) -> Subsets:
        return single_best(values, targets, EPSILON)

    return [
        job("meet_in_middle", ours, "closest", count, repeats=5),
        job("meet_in_middle", ours, "sparsest", count, repeats=5),
        job("meet_in_middle, one row", ours, "closest", count, repeats=3, shared=True),
        Job(name="single best value", objective="closest", n=21, count=count, repeats=5, solve=one_best),
        job("meet_in_middle", ours, "closest", 2000, n=32, repeats=3),
        job("meet_in_middle", ours, "sparsest", 2000, n=32, repeats=3),
        job("meet_in_middle", ours, "closest", 20, n=40),
        job("exhaustive", Exhaustive(max_n=21), "closest", mip_count),
        job(PAPER, paper, "closest", mip_count),
        job(PAPER, paper, "sparsest", mip_count),
        job("milp", Milp(mip_gap=0.01, time_limit=60.0), "closest", few),
        job("milp", Milp(mip_gap=0.01, time_limit=60.0), "sparsest", few),
    ]


def measure(job: Job) -> dict[str, Any]:
    """Best time of the job, and what its answers are worth."""
    values, targets = instances(job.count, job.n)
    values = values[:1] if job.shared else values
    job.solve(values[:2], targets[: len(values[:2])])  # compiles, opens licences
    seconds, cpu_seconds, answer = np.inf, np.inf, None
    for _ in range(job.repeats):  # on a GPU the first fetches memory; each ends when its answer is in NumPy arrays
        started, cpu_started = time.perf_counter(), time.process_time()
        answer = job.solve(values, targets)
        seconds = min(seconds, time.perf_counter() - started)
        cpu_seconds = min(cpu_seconds, time.process_time() - cpu_started)
    assert answer is not None
    return {
        "solver": job.name,
        "objective": job.objective,
        "n": job.n,
        "instances": job.count,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "instances_per_s": job.count / seconds,
        "error_median": float(np.median(answer.error)),
        "kept_per_instance": float(answer.chosen.sum(1).mean()),
        "over_epsilon": int((answer.status != Status.WITHIN_EPSILON).sum()),
    }


def machine(device: str | None) -> dict[str, Any]:
    """What the numbers were taken on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    found = {"device": names[0] if names else platform.processor(), "threads": numba.get_num_threads()}
    if device is not None and device.startswith("cuda"):
        found["gpu"] = f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return found


def report(count: int, mip_count: int, device: str | None) -> dict[str, Any]:
    """All measurements; the peak of memory is taken before the slow solvers bring their own libraries in."""
    rows, peak = [], 0.0
    for each in device_jobs(count, device) if device else jobs(count, mip_count):
        rows.append(measure(each))
        if rows[-1]["solver"].startswith("meet_in_middle"):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    paper = next((row for row in rows if row["solver"] == PAPER and row["objective"] == "closest"), None)
    for row in rows:
        comparable = paper and row["n"] == paper["n"]
        row["times_gurobi"] = row["instances_per_s"] / paper["instances_per_s"] if paper and comparable else None
    return {**machine(device), "epsilon": EPSILON, "peak_memory_mib": peak, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{result['device']}, {result['threads']} threads, epsilon {result['epsilon']}",
        *([f"GPU: {result['gpu']}"] if "gpu" in result else []),
        f"{'solver':24}{'objective':11}{'n':>3}{'instances':>11}{'seconds':>10}{'CPU s':>9}{'per second':>15}"
        f"{'x Gurobi':>15}{'median error':>14}{'kept':>7}{'> eps':>7}",
    ]
    for row in result["rows"]:
        times = "" if row["times_gurobi"] is None else rounded(row["times_gurobi"])
        lines.append(
            f"{row['solver']:24}{row['objective']:11}{row['n']:3}{row['instances']:11,}{row['seconds']:10.3f}{row['cpu_seconds']:9.3f}"
            f"{rounded(row['instances_per_s']):>15}{times:>15}{row['error_median']:14.1e}{row['kept_per_instance']:7.2f}"
            f"{row['over_epsilon']:7}"
        )
    if any(row["times_gurobi"] for row in result["rows"]):
        lines.append(
            "x Gurobi: rate relative to Gurobi as the paper used it (closest, n = 21, one model per weight, MIPGap .01)"
        )
    lines.append(f"peak memory of meet_in_middle, instances included: {result['peak_memory_mib']:,.0f} MiB")
    return "\n".join(lines)


def rounded(value: float) -> str:
    """Whole numbers from 100 on, two digits below."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the SubsetSum solvers, all on the same instances.")
    parser.add_argument("--count", type=int, default=397_000, help="instances for the fast solvers")
    parser.add_argument("--mip-count", type=int, default=16, help="instances for the slow ones")
    parser.add_argument("--device", help="cuda (or cuda:1): meet in the middle there and on the CPU, nothing else")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # HiGHS sometimes writes a line of its own to the standard output, beneath Python
    result = report(options.count, options.mip_count, options.device)
    print(json.dumps(result) if options.json else table(result), file=out)


if __name__ == "__main__":
    main()
