"""Speed of an edge-popup step: this project's against the plain one, on the same networks, scores and batches.

python scripts/bench_edge_popup.py            a table, in about a minute and a half on 2 cores
python scripts/bench_edge_popup.py --json     one JSON object instead
python scripts/bench_edge_popup.py --device cuda    the captured step instead, for one run and for a grid of densities

The plain step does as the published code: every forward pass sorts |scores| of every weight, sets the mask by index and
multiplies the redundant layers out as they are written; torch.optim.SGD updates the scores. Both have batches of 64
random images, learning rate .1, momentum .9, weight decay 5e-4, density .5. Before anything is timed both must give the
same masks for the same scores, and after four steps the same scores: within 1e-5 of the largest, but for at most one in
1,000, since rounding can carry a score across its threshold or zero, or a hidden unit across its ReLU's kink. Steps
of both kinds alternate; times are medians.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import torch
from torch.nn.functional import cross_entropy, linear

from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.initial import drawn, recipes
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.top_fraction import kept_count

BATCH, RATE, MOMENTUM, DECAY, DENSITY = 64, 0.1, 0.9, 5e-4, 0.5
GRID = (0.01, 0.02, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.98, 0.99, 1.0)  # fractions kept of the paper
CHECKED_STEPS = 4
SIZES = {"inputs": 784, "outputs": 10}
WEIGHTS, SCORES = KaimingNormal(gain=2**0.5, density=1.0), KaimingUniform(gain=(2 / 3) ** 0.5, density=1.0)
METHOD = EdgePopup(
    density=DENSITY, scope="layer", epochs=1, batch=BATCH, learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY,
    validation=0, distribution=WEIGHTS, scores=SCORES, frozen=[], biases="zero",
)  # fmt: skip
NETWORKS = {
    "redundant 2 layers, linear": RedundantFullyConnected(**SIZES, hidden=500, depth=2, redundancy=5, relu=False),
    "redundant 2 layers, ReLU": RedundantFullyConnected(**SIZES, hidden=500, depth=2, redundancy=5, relu=True),
    "redundant 4 layers, linear": RedundantFullyConnected(**SIZES, hidden=500, depth=4, redundancy=5, relu=False),
    "redundant 4 layers, ReLU": RedundantFullyConnected(**SIZES, hidden=500, depth=4, redundancy=5, relu=True),
    "wide 2 layers": FullyConnected(**SIZES, hidden=2508, depth=2, biases=False),
}


class SortedMask(torch.autograd.Function):
    """The published mask: 1 at the largest |scores|, by a sort of all; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, kept: int) -> torch.Tensor:
        del ctx
        mask = scores.clone()
        order = scores.flatten().sort().indices
        flat = mask.flatten()
        flat[order[: scores.numel() - kept]] = 0
        flat[order[scores.numel() - kept :]] = 1
        return flat.view_as(scores)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        del ctx
        return gradients[0], None


class Plain:
    """The plain step on copies of the given weights and scores."""

    def __init__(self, network: ScoredNetwork, relu: bool, density: float, device: str) -> None:
        self.weights = {n: network.module.get_parameter(n).detach().to(device).clone() for n in network.scores}
        self.scores = {name: scores.to(device).clone() for name, scores in network.scores.items()}
        self.relu, self.density = relu, density
        parameters = [score.requires_grad_() for score in self.scores.values()]
        self.optimizer = torch.optim.SGD(parameters, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def mask(self, name: str) -> torch.Tensor:
        scores = self.scores[name]
        return SortedMask.apply(scores.abs(), kept_count(self.density, scores.numel()))  # pyright: ignore[reportReturnType]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x, kept = images.flatten(1), {name: weight * self.mask(name) for name, weight in self.weights.items()}
        layers = sorted({name.split(".")[0] for name in kept})
        for layer in layers:
            x = x if layer == layers[0] else x.relu()
            if f"{layer}.weight" in kept:
                x = linear(x, kept[f"{layer}.weight"])
            else:
                spread = kept[f"{layer}.weight1"]
                x = x.repeat(1, spread.shape[0]) * spread.flatten()
                x = linear(x.relu() if self.relu else x, kept[f"{layer}.weight2"])
        return x

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        cross_entropy(self.forward(images), labels).backward()
        self.optimizer.step()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    network: str
    scores: int
    step: str
    runs: int
    plain_ms: float
    ours_ms: float

    def ratio(self) -> float:
        """How many times the plain step's rate ours has, steps of all runs counted."""
        return self.plain_ms / self.ours_ms * self.runs


def start(name: str, density: float) -> ScoredNetwork:
    """A network with the published weights and first scores."""
    network, module = NETWORKS[name], NETWORKS[name].module()
    names = parameter_shapes(network)
    module.load_state_dict(drawn(recipes(network, WEIGHTS, names, "weights"), seed=0))
    scores = drawn(recipes(network, SCORES, names, "scores"), seed=0)
    return ScoredNetwork(module=module.requires_grad_(False), scores=scores, density=density, scope="layer")


def batches(device: str, count: int = 16) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Random images and labels."""
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(BATCH, 1, 28, 28, generator=generator).to(device),
            torch.randint(0, 10, (BATCH,), generator=generator).to(device),
        )
        for _ in range(count)
    ]


def check(plain: Plain, masks: Callable[[], dict[str, torch.Tensor]], ours: Callable[[], None], scores: Any) -> None:
    """Refuses to time two steps that are not the same: equal masks first, then equal scores after some steps."""
    for name, mask in masks().items():
        assert torch.equal(mask, plain.mask(name).bool()), f"the masks of {name} differ"
    for images, labels in batches(str(scores.device), CHECKED_STEPS):
        plain.step(images, labels)
    ours()
    reference = torch.cat([score.detach().flatten() for score in plain.scores.values()])
    apart = ((scores - reference).abs() > 1e-5 * reference.abs().max()).float().mean().item()
    assert apart < 1e-3, f"after {CHECKED_STEPS} steps {apart:.2%} of the scores differ"


def timed(step: Callable[..., Any], batch: tuple[torch.Tensor, torch.Tensor], repeats: int) -> float:
    """Milliseconds per step over some steps."""
    cuda = batch[0].is_cuda
    torch.cuda.synchronize() if cuda else None
    begin = time.perf_counter()
    for _ in range(repeats):
        step(*batch)
    torch.cuda.synchronize() if cuda else None
    return (time.perf_counter() - begin) / repeats * 1e3


def duel(plain: Plain, ours: Callable[..., Any], device: str, rounds: int, per_round: int) -> tuple[float, float]:
    """Median milliseconds of a plain step and of ours, taken in turn."""
    data = batches(device)
    for batch in data[:2]:
        plain.step(*batch)
        ours(*batch)
    pairs = []
    for i in range(rounds):
        batch = data[i % len(data)]
        pairs.append((timed(plain.step, batch, 1 if device == "cpu" else 20), timed(ours, batch, per_round)))
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def relu_of(name: str) -> bool:
    """Whether the copies of a redundant network pass a ReLU."""
    network = NETWORKS[name]
    return isinstance(network, RedundantFullyConnected) and network.relu


def cpu_row(name: str, rounds: int) -> Row:
    """One network on the CPU."""
    network = start(name, DENSITY)
    plain = Plain(network, relu_of(name), DENSITY, "cpu")
    training = ScoreTraining(network, MOMENTUM, DECAY, binary=False)

    def steps() -> None:
        for batch in batches("cpu", CHECKED_STEPS):
            training.step(*batch, rate=RATE)

    check(plain, training.masks, steps, training.scores)
    times = duel(plain, lambda *batch: training.step(*batch, rate=RATE), "cpu", rounds, 20)
    return Row(network=name, scores=training.scores.numel(), step="CPU", runs=1, plain_ms=times[0], ours_ms=times[1])


def cuda_row(name: str, densities: tuple[float, ...], rounds: int) -> Row:
    """One network at several densities on the GPU; the plain step trains one of them."""
    networks = [start(name, density) for density in densities]
    plain = Plain(networks[0], relu_of(name), densities[0], "cuda")
    grid = FunctionalTraining(networks, METHOD, "cuda")

    def steps() -> None:
        for batch in batches("cuda", CHECKED_STEPS):
            grid.step(*batch, rate=RATE)

    check(plain, lambda: grid.masks(0), steps, grid.scores[0])
    times = duel(plain, lambda *batch: grid.step(*batch, rate=RATE), "cuda", rounds, 100)
    scores = grid.scores.shape[1]
    return Row(network=name, scores=scores, step="captured", runs=len(densities), plain_ms=times[0], ours_ms=times[1])


def floor(device: str) -> dict[str, float]:
    """What the two-layer linear step cannot go below here: its arithmetic and its bytes at the rates measured now.

    Arithmetic: products of 64 x 784 x 500 and 64 x 500 x 10, once forward and once or twice backward. Bytes: weights,
    scores and velocities are read and the last two written once, then weights and scores read again to be masked.
    """
    sizes = (BATCH, 784), (500, 784), (BATCH, 500), (500, 784), (32_000_000,), (32_000_000,)
    x, a, y, g, source, target = (torch.ones(size, device=device) for size in sizes)
    products = [lambda: torch.mm(x, a.T, out=y), lambda: torch.mm(y.T, x, out=g)]
    seconds = [min(timed(lambda *_, f=f: f(), (x, x), 20) for _ in range(5)) / 1e3 for f in products]
    copied = min(timed(lambda *_: target.copy_(source), (x, x), 5) for _ in range(10)) / 1e3
    flops, size = 2 * BATCH * 784 * 500, 1_991_420 * 4
    return {
        "gflop_per_s": 2 * flops / sum(seconds) / 1e9,
        "copy_gb_per_s": 2 * source.numel() * 4 / copied / 1e9,
        "arithmetic_ms": (sum(seconds) * (1 + 10 / 784 * 1.5)) * 1e3,
        "memory_ms": 7 * size / (2 * source.numel() * 4 / copied) * 1e3,
    }


def machine() -> dict[str, str]:
    """What the times depend on."""
    info = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    facts = {
        "cpu": models[0] if models else platform.processor(),
        "threads": f"{torch.get_num_threads()} torch, {numba.get_num_threads()} numba",
        "versions": f"torch {torch.__version__}, numba {numba.__version__}, Python {platform.python_version()}",
    }
    return facts | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def main() -> None:
    parser = argparse.ArgumentParser(description="Times an edge-popup step against the plain one.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=15, help="times that each step is measured")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="this network only; may be repeated")
    options = parser.parse_args()
    names = options.network or list(NETWORKS)
    if options.device == "cuda":
        rows = [cuda_row(name, grid, options.rounds) for name in names for grid in ((DENSITY,), GRID)]
    else:
        rows = [cpu_row(name, options.rounds) for name in names]
    report = {
        "machine": machine(),
        "floor of the 2-layer linear step": floor(options.device),
        "rows": [vars(row) | {"ratio": row.ratio()} for row in rows],
    }
    print(json.dumps(report, indent=2) if options.json else table(report))


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{key}: {value}" for key, value in report["machine"].items()]
    floors = report["floor of the 2-layer linear step"]
    lines += [
        "floor of the 2-layer linear step: {arithmetic_ms:.2f} ms of arithmetic ({gflop_per_s:.0f} GFLOP/s) and "
        "{memory_ms:.2f} ms of memory traffic ({copy_gb_per_s:.0f} GB/s)".format(**floors),
        "",
        f"{'network':28} {'scores':>10} {'step':>9} {'runs':>5} {'plain ms':>9} {'ours ms':>9} {'times faster':>13}",
    ]
    for row in report["rows"]:
        lines.append(
            f"{row['network']:28} {row['scores']:>10,} {row['step']:>9} {row['runs']:>5} {row['plain_ms']:>9.2f} "
            f"{row['ours_ms']:>9.2f} {row['ratio']:>13.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
