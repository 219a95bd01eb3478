"""What direct substitution of a large transformer takes: time, memory, and what its ticket costs to keep and to check.

    python scripts/bench_scale.py --out results/bench_scale.md

A vision transformer of 8 blocks with torch's own random weights, as wide as the number of weights asks for; no data.
Every row is made in a process of its own, so that its peak of memory is its own. "Peak of find" holds the target in
float64; "beyond" is what is left of it without the target and the packed masks, and must not grow with the network.
Measuring draws the ticket's network again and takes its errors; verifying reads nothing but the file and the target.
Where other programs keep the machine busy, CPU seconds (of all threads) say more than the clock.
"""

import argparse
import contextlib
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numba
import numpy as np
import torch

from lth_runner.config.compose import method_of
from lth_runner.core.recorder import Progress
from lth_runner.core.streams import Streams
from lth_runner.measure.claims import claimed
from lth_runner.measure.ticket import measure_ticket
from lth_runner.measure.verification import findings
from lth_runner.networks.interface import tensors_of
from lth_runner.networks.vit import ViT
from lth_runner.problem import Problem
from lth_runner.record.terminal import Terminal
from lth_runner.report.tables import markdown
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.ticket import Ticket

OBJECTIVES = {"sparsest": 21, "closest": 12}  # and the random numbers on offer for each weight
DEPTH, EPSILON, MIB = 8, 0.01, 2**20

Row = dict[str, str]


class Bars:
    """A recorder that shows bars on the standard error and keeps nothing."""

    def __init__(self) -> None:
        self._terminal = Terminal(file=sys.stderr)

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Progress]:
        return self._terminal.progress(label, total)

    def metrics(self, **values: float | int | str) -> None:
        del values

    def say(self, line: str) -> None:
        self._terminal.say(line)

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        del shared
        raise NotImplementedError(f"substitution keeps no checkpoint, and {name} was asked for")


class Clock:
    """Seconds by the wall clock and of processor time, by what was done in them."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[what], self.cpu[what] = time.perf_counter() - wall, time.process_time() - cpu


def network(millions: float) -> ViT:
    """The transformer of about so many million weights: a block has 12 width^2 of them."""
    width = 64 * max(1, round((millions * 1e6 / (12 * DEPTH)) ** 0.5 / 64))
    shape = {"width": width, "heads": width // 64, "depth": DEPTH, "hidden": 4 * width}
    return ViT(channels=3, side=32, patch=4, outputs=10, class_token=True, **shape)


def random_target(architecture: ViT) -> dict[str, np.ndarray]:
    """Weights as torch draws them, in float64 from the start: no copy that would count as memory of what follows."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    module = architecture.module().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    return {name: tensor.numpy() for name, tensor in tensors_of(module).items()}


def peak() -> float:
    """The most memory that this process ever held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)


def through_file(ticket: Ticket, clock: Clock) -> tuple[Ticket, float]:
    """The ticket saved and read back, and the size of its file in MiB; "save" and "read" are timed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ticket.safetensors"
        with clock("save"):
            save_ticket(ticket, path)
        size = path.stat().st_size / MIB
        with clock("read"):
            return read_ticket(path), size


def measured(millions: float, objective: str, n: int) -> Row:
    """One row of the table, in the process that this is called in."""
    architecture = network(millions)
    weights = random_target(architecture)
    problem = Problem(network=architecture, target=weights, data=None, streams=Streams(0), device="cpu")
    method = method_of("subset_sum", {"n": n, "objective": objective, "epsilon": EPSILON})
    method.solver.solve(np.ones((2, n)), np.ones(2), EPSILON, objective)  # compiles
    before, clock = peak(), Clock()
    with clock("find"):
        found = method.find(problem, Bars())
    after, masks = peak(), sum(mask.bits.nbytes for mask in found.ticket.masks.values()) / MIB
    with clock("measure"):
        values = measure_ticket(materialise(found.ticket), problem, EPSILON, outputs=False, approximates=True)
    ticket = claimed(found.ticket, values, method, problem, EPSILON)
    del found
    ticket, size = through_file(ticket, clock)
    with clock("verify"):
        checked = list(findings(materialise(ticket), weights, None))
    assert checked and all(finding.agrees and not finding.needs for finding in checked), checked
    with clock("load"):
        materialise(ticket).module()
    count = sum(array.size for array in weights.values())
    return {
        "weights": f"{count / 1e6:.1f} M",
        "objective": objective,
        "n": str(n),
        "find, s": f"{clock.wall['find']:.1f}",
        "CPU s": f"{clock.cpu['find']:.1f}",
        "beyond epsilon": f"{values['over_epsilon']:,}",
        "kept per weight": f"{values['kept'] / count:.2f}",
        "peak of find, MiB": f"{after:,.0f}",
        "target": f"{sum(array.nbytes for array in weights.values()) / MIB:,.0f}",
        "masks": f"{masks:,.1f}",
        "beyond": f"{after - before - masks:,.0f}",
        "ticket, MiB": f"{size:,.1f}",
        **{
            f"{what}, s (CPU)": f"{clock.wall[what]:.2f} ({clock.cpu[what]:.2f})"
            for what in clock.wall
            if what != "find"
        },
        "peak of all, MiB": f"{peak():,.0f}",
    }


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """The rows in turn, each from a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    for objective in options.objective:
        for millions in options.millions:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                yield pool.submit(measured, millions, objective, options.n or OBJECTIVES[objective]).result()


def machine() -> str:
    """What the numbers were taken on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name}, {numba.get_num_threads()} threads of {os.cpu_count()} cores, Python {platform.python_version()}"


def table(found: Sequence[Row], columns: Sequence[int]) -> str:
    """Some of the columns, as Markdown."""
    shown = [[list(row.values())[k] for k in columns] for row in found]
    return markdown([list(found[0])[k] for k in columns], shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[10, 25, 100], help="weights of the networks")
    parser.add_argument("--objective", nargs="+", choices=list(OBJECTIVES), default=list(OBJECTIVES))
    parser.add_argument(
        "--n", type=int, help="random numbers for each weight (default: 21 for sparsest, 12 for closest)"
    )
    parser.add_argument("--out", type=Path, help="the .md file to write; none: print only")
    options = parser.parse_args()
    found = list(rows(options))
    later = next(k for k, column in enumerate(found[0]) if column.startswith("ticket"))
    text = f"{machine()}; epsilon {EPSILON}.\n\n{table(found, range(later))}\n"
    text += table(found, [*range(3), *range(later, len(found[0]))])
    print(text)
    if options.out:
        options.out.write_text(f"# Scale of direct substitution\n\n    python {' '.join(sys.argv)}\n\n{text}")


if __name__ == "__main__":
    main()
