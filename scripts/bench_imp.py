"""Speed of training a winning ticket: the way such scripts are written, this project's dense steps, its sparse ones.

    python scripts/bench_imp.py --out results/bench_imp          in some minutes on an idle core

LeNet-300-100 on normalised MNIST (from the folder LTH_CACHE; without it, bytes of the same shape with as many zeros),
batches of 60, Adam, one thread. Masks are random, with the densities of iterative pruning at 20 % of the hidden layers
and 10 % of the output layer a level. The plain way takes single images through PIL, ToTensor and Normalize in a
DataLoader, multiplies the weights by their masks at every step, and evaluates over a DataLoader. Ours are the steps of
`training.training.Training`, their batches included. Before anything is timed, all ways must have the same weights
after some steps on equal batches, up to rounding. Ways alternate; times are medians of processor time, which is that of
the clock on an idle core. A whole run is not trained: its time is computed from the parts that were measured. Tickets
whose masks empty whole channels, heads or neurons are those of `bench_units.py`: masked steps, and steps without them.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from bench_units import pairs
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from lth_runner.core.errors import DataError
from lth_runner.core.streams import Streams
from lth_runner.core.torchvision import import_torchvision
from lth_runner.data.mnist import Mnist
from lth_runner.report.tables import csv_text, markdown
from lth_runner.training.fast_cpu.kernels import LANES
from lth_runner.training.loop import Batches
from lth_runner.training.loss import Loss, classification
from lth_runner.training.recipe import Recipe
from lth_runner.training.training import Training

BATCH, RATE, WIDTHS = 60, 1.2e-3, (784, 300, 100, 10)
MEAN, STD = 0.1307, 0.3081
LEVELS, STEPS, EVERY, EVALUATED, BLOCK = 20, 50_000, 100, 15_000, 2048  # of the whole run: steps a level, images
SHOWN = {7: "21 %", 9: "13.5 %", 12: "7 %", 15: "3.6 %"}  # levels whose steps are rows of their own
LAST = max(SHOWN)
CHECKED_STEPS = 5
RECIPE = Recipe(
    length=f"{STEPS}it", batch=BATCH, learning_rate=RATE, optimizer="Adam", momentum=0.0, weight_decay=0.0,
    optimizer_arguments=None, schedule="constant", schedule_arguments=None, schedule_unit="step",
)  # fmt: skip

Masks = dict[str, torch.Tensor]
Row = tuple[str, float, str]  # what, milliseconds, how it compares


@dataclass(frozen=True, kw_only=True)
class Data:
    """Bytes (N, 28, 28) and labels, of training and of evaluation, and where they are from."""

    name: str
    pixels: torch.Tensor
    labels: torch.Tensor
    evaluated: torch.Tensor
    evaluated_labels: torch.Tensor

    @staticmethod
    def normalised(pixels: torch.Tensor) -> torch.Tensor:
        return ((pixels.float() / 255 - MEAN) / STD)[:, None]


def load() -> Data:
    """55,000 images to train on; the 5,000 of validation and 10,000 of test to evaluate on."""
    root = Path(os.environ.get("LTH_CACHE", "~/.cache/lth_runner")).expanduser() / "data"
    try:
        found: Any = Mnist(root=str(root), normalize=False, pool=1, test_count=None).load(lambda line: None)
    except DataError:
        draws = np.random.default_rng(0)
        pixels = draws.integers(256, size=(70_000, 28, 28)) * (draws.random((70_000, 28, 28)) > 0.81)
        images, labels = torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(draws.integers(10, size=70_000))
        name = "random bytes, 81 % of them 0"
    else:
        parts = (found.train_inputs, found.test_inputs), (found.train_labels, found.test_labels)
        images, labels = (torch.cat(part) for part in parts)
        images, name = (images[:, 0] * 255).round().byte(), "MNIST"
    first, second = slice(0, 70_000 - EVALUATED), slice(70_000 - EVALUATED, None)
    return Data(
        name=name,
        pixels=images[first],
        labels=labels[first],
        evaluated=images[second],
        evaluated_labels=labels[second],
    )


def network() -> nn.Sequential:
    """LeNet-300-100 with Glorot's normal weights."""
    torch.manual_seed(0)
    layers = [nn.Linear(*pair) for pair in pairwise(WIDTHS)]
    for layer in layers:
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def masks_of(level: int) -> Masks:
    """Random masks with the densities of a level; none at level 0."""
    if level == 0:
        return {}
    draws = torch.Generator().manual_seed(level)
    weights = {name: p for name, p in network().named_parameters() if p.ndim == 2}
    rates = [0.8] * (len(weights) - 1) + [0.9]
    return {
        name: torch.rand(weight.shape, generator=draws) < rate**level
        for (name, weight), rate in zip(weights.items(), rates, strict=True)
    }


class Images(torch.utils.data.Dataset):
    """Single images converted one by one, as torchvision's datasets do."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor) -> None:
        import_torchvision()
        from PIL import Image
        from torchvision import transforms

        self.pixels, self.labels, self.image = pixels.numpy(), labels.numpy(), Image.fromarray
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.image(self.pixels[index])), int(self.labels[index])


class Plain:
    """A masked training as such scripts have it."""

    def __init__(self, data: Data, masks: Masks) -> None:
        self.module = network()
        self.masks = {name: mask.float() for name, mask in masks.items()}
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=RATE)
        self.loader = DataLoader(Images(data.pixels, data.labels), BATCH, shuffle=True)
        self.evaluated = DataLoader(Images(data.evaluated, data.evaluated_labels), 1000)
        self.batches = self._endless()

    def _endless(self) -> Iterator[list[torch.Tensor]]:
        while True:
            yield from self.loader

    def mask(self) -> None:
        for name, parameter in self.module.named_parameters():
            if name in self.masks:
                parameter.data *= self.masks[name]

    def update(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.mask()
        self.optimizer.zero_grad()
        cross_entropy(self.module(images), labels).backward()
        self.optimizer.step()

    def step(self) -> None:
        images, labels = next(self.batches)
        self.update(images, labels)

    def evaluate(self) -> float:
        self.mask()
        right = 0
        with torch.no_grad():
            for images, labels in self.evaluated:
                right += int((self.module(images).argmax(1) == labels).sum())
        return right / EVALUATED


def torch_alone(module: nn.Module, inputs: Any, labels: torch.Tensor | None) -> torch.Tensor:
    """The same loss by another name: with it, steps are dense whatever the masks."""
    return classification(module, inputs, labels)


class Ours:
    """A masked training of this project."""

    def __init__(self, data: Data, masks: Masks, loss: Loss = classification) -> None:
        inputs = data.normalised(data.pixels)
        self._batches = Batches(
            inputs=inputs, labels=data.labels, size=BATCH, streams=Streams(0), purpose="bench", augment=None
        )
        self.training = Training(network(), self._batches, RECIPE, masks, None, loss, Silent())
        self.evaluated, self.labels = data.normalised(data.evaluated), data.evaluated_labels
        self.batches = self._endless()

    def _endless(self) -> Iterator[tuple[int, Any, torch.Tensor | None]]:
        epoch = 0
        while True:
            yield from self._batches.epoch(epoch, range(self._batches.per_epoch))
            epoch += 1

    def step(self) -> None:
        step, images, labels = next(self.batches)
        self.training.update(images, labels, step)

    def evaluate(self) -> float:
        right = 0
        for images, labels in zip(self.evaluated.split(BLOCK), self.labels.split(BLOCK), strict=True):
            right += int((self.training.outputs(images).argmax(1) == labels).sum())
        return right / EVALUATED


class Silent:
    """A recorder of a training that nobody watches."""

    def progress(self, label: str, total: int) -> Any:
        raise NotImplementedError

    def metrics(self, **values: float | int | str) -> None:
        del values

    def say(self, line: str) -> None:
        del line

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        raise NotImplementedError


def check(data: Data) -> None:
    """Refuses to time ways that are not the same."""
    masks = masks_of(LAST)
    plain, dense, sparse = Plain(data, masks), Ours(data, masks, torch_alone), Ours(data, masks)
    kinds = [ours.training.kind_of_step.split(",")[0] for ours in (dense, sparse)]
    assert kinds == ["dense", "sparse"], kinds
    images, labels = data.normalised(data.pixels[: BATCH * CHECKED_STEPS]), data.labels
    for step, batch in enumerate(images.split(BATCH)):
        truth = labels[step * BATCH : (step + 1) * BATCH]
        plain.update(batch, truth)
        for ours in (dense, sparse):
            ours.training.update(batch, truth, step)
    plain.mask()
    for ours in (dense, sparse):
        for (name, one), other in zip(
            plain.module.named_parameters(), ours.training.module.parameters(), strict=True
        ):  # Adam's first steps follow the sign of a gradient, which rounding can turn
            apart = ((one - other).abs() > 1e-5).float().mean().item()
            assert apart < 1e-3, f"{apart:.2%} of {name} differ"


def milliseconds(action: Callable[[], object], repeats: int) -> float:
    begin = time.process_time()
    for _ in range(repeats):
        action()
    return (time.process_time() - begin) / repeats * 1e3


def in_turn(actions: Sequence[tuple[Callable[[], object], int]], rounds: int) -> list[float]:
    """The median milliseconds of each action, run so many times a round."""
    for action, _ in actions:
        action()
    times = [[milliseconds(*action) for action in actions] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def floors(level: int) -> list[tuple[str, float]]:
    """What the dense and the sparse step of a level cannot go below here, in milliseconds: arithmetic and bytes at the
    rates that are measured now, in matrix products of the first layer and in reading and writing arrays of its size.

    Arithmetic: a multiplication and an addition per weight and sample, once forward and twice backward, once for the
    first layer. Bytes: Adam reads weight, gradient and two means and writes three of them, and the gradient is written
    once; the sparse step also reads a row of LANES samples per weight forward and one backward, and behind the first
    layer reads and writes one more.
    """
    kept = [int(mask.sum()) for mask in masks_of(level).values()]
    whole = [one * other for one, other in pairwise(WIDTHS)]
    a, x, y = torch.ones(300, 784), torch.ones(784, BATCH), torch.ones(300, BATCH)
    product = min(milliseconds(lambda: torch.mm(a, x, out=y), 50) for _ in range(10))
    source, target = torch.ones(2, 50_000)  # 200 KB each: what the inputs of LANES samples take
    copied = min(milliseconds(lambda: target.copy_(source), 100) for _ in range(10))
    flop_ms, byte_ms = product / (2 * BATCH * whole[0]), copied / (2 * source.numel() * 4)

    def arithmetic(weights: list[int]) -> float:
        return 2 * BATCH * (2 * weights[0] + 3 * sum(weights[1:])) * flop_ms

    rows = LANES * 4 * (2 * kept[0] + 4 * sum(kept[1:]))
    return [
        (f"dense: arithmetic at {1e-6 / flop_ms:.0f} GFLOP/s", arithmetic(whole)),
        (f"dense: bytes at {1e-6 / byte_ms:.0f} GB/s", 8 * 4 * sum(whole) * byte_ms),
        (f"sparse at {SHOWN[level]}: arithmetic", arithmetic(kept)),
        (f"sparse at {SHOWN[level]}: bytes", (8 * 4 * sum(kept) + rows) * byte_ms),
    ]


def measured(rounds: int, steps: int) -> tuple[str, list[Row], list[list[str]]]:
    """The name of the data, the rows of the table, and the levels of the whole run."""
    data = load()
    check(data)
    plain, dense = Plain(data, masks_of(LAST)), Ours(data, masks_of(LAST), torch_alone)
    levels = [Ours(data, masks_of(level)) for level in range(LEVELS)]
    few = max(steps // 10, 2)
    times = in_turn([(plain.step, few), (dense.step, steps), *((ours.step, steps) for ours in levels)], rounds)
    evaluations = in_turn([(dense.evaluate, 1), *((ours.evaluate, 1) for ours in levels)], rounds)
    [plain_evaluation] = in_turn([(plain.evaluate, 1)], max(rounds // 5, 1))
    plain_step, dense_step, *level_steps = times
    dense_evaluation, *level_evaluations = evaluations
    rows: list[Row] = [
        ("plain way, a step", plain_step, ""),
        ("dense step", dense_step, f"{plain_step / dense_step:.1f} times the plain way"),
    ]
    for level, name in SHOWN.items():
        rows.append((f"sparse step, {name}", level_steps[level], f"{dense_step / level_steps[level]:.1f} times dense"))
    sparse = level_evaluations[LAST]
    rows += [
        (f"plain way, {EVALUATED:,} images evaluated", plain_evaluation, ""),
        (
            f"dense, {EVALUATED:,} images",
            dense_evaluation,
            f"{plain_evaluation / dense_evaluation:.1f} times the plain way",
        ),
        (f"sparse at {SHOWN[LAST]}, {EVALUATED:,} images", sparse, f"{dense_evaluation / sparse:.1f} times dense"),
    ]
    whole = LEVELS * STEPS * (plain_step + plain_evaluation / EVERY)
    parts = zip(level_steps, level_evaluations, strict=True)
    own = sum(STEPS * (step + evaluation / EVERY) for step, evaluation in parts)
    rows += [
        (f"plain way, a whole run of {LEVELS} levels, computed", whole, f"{whole / 3.6e6:.2f} h"),
        ("ours, the same", own, f"{own / 3.6e6:.2f} h, {whole / own:.1f} times the plain way"),
    ]
    for (name, floor), step in zip(floors(LAST), [dense_step] * 2 + [level_steps[LAST]] * 2, strict=True):
        rows.append((f"floor, {name}", floor, f"the step takes {step / floor:.1f} times as long"))
    kinds = [ours.training.kind_of_step.split(",")[0] for ours in levels]
    shown = [
        [
            str(level),
            f"{density(level):.1%}",
            kinds[level],
            f"{level_steps[level]:.3f}",
            f"{level_evaluations[level]:.1f}",
        ]
        for level in range(LEVELS)
    ]
    return data.name, rows, shown


def units(rounds: int, steps: int) -> list[Row]:
    """Steps of tickets of whole units, with masks and without the empty units."""
    rows: list[Row] = []
    for pair in pairs(Silent()):
        masked, smaller = in_turn([(pair.masked, steps), (pair.smaller, steps)], rounds)
        rows.append((f"{pair.name}: masked step", masked, ""))
        note = f"{masked / smaller:.1f} times the masked; {pair.left:.0%} of the parameters"
        rows.append((f"{pair.name}: without the others", smaller, note))
    return rows


def density(level: int) -> float:
    masks = masks_of(level).values()
    return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks) if level else 1.0


def machine() -> str:
    """What the numbers were taken on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, numba {numba.__version__}"
    return f"{names[0] if names else platform.processor()}, {torch.backends.cpu.get_cpu_capability()}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="times that each way is measured")
    parser.add_argument("--steps", type=int, default=100, help="steps of each in a round; the plain way takes a tenth")
    parser.add_argument("--out", type=Path, help="stem of the .csv and .md files; none: print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    name, rows, levels = measured(options.rounds, options.steps)
    rows += units(options.rounds, max(options.steps // 10, 2))
    text = markdown(["", "milliseconds", ""], [[what, f"{ms:,.3f}", note] for what, ms, note in rows])
    text += "\nThe levels of the whole run, ours:\n\n"
    text += markdown(["level", "kept", "steps", "step, ms", f"{EVALUATED:,} images, ms"], levels)
    print(text)
    if options.out:
        head = f"# Speed of training winning tickets\n\n    python scripts/bench_imp.py --out {options.out}\n\n"
        head += f"LeNet-300-100, {name}, batches of {BATCH}, Adam, one thread; {machine()}.\n\n"
        options.out.with_suffix(".md").write_text(head + text)
        options.out.with_suffix(".csv").write_text(csv_text(["what", "milliseconds"], [row[:2] for row in rows]))


if __name__ == "__main__":
    main()
