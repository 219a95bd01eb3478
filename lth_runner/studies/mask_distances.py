"""How early the masks of a training agree: their distances, and the tickets that are drawn early and late."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Inputs, num_samples, select
from lth_runner.measure.ticket import measure_ticket
from lth_runner.problem import Found, Method, Problem
from lth_runner.prune.compact import compacted, kept_units
from lth_runner.prune.mask_distance import distances
from lth_runner.prune.unit_ticket import UnitTicket
from lth_runner.record.points import Point, Points
from lth_runner.report.points import Description
from lth_runner.report.tables import Column
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import materialise

COLUMNS = {
    "curve": Column("ticket", "text"),
    "accuracy": Column("test accuracy", "percent"),
    "accuracy_min": Column("least", "percent"),
    "accuracy_max": Column("greatest", "percent"),
    "drawn_epoch": Column("drawn after epochs", "number"),
    "masks_agree": Column("masks agreed by then", "percent"),
    "units_share": Column("units kept", "percent"),
    "weights_share": Column("weights kept", "percent"),
    "compact_share": Column("compact parameters", "percent"),
    "whole_ms": Column("masked, ms", "number"),
    "compact_ms": Column("compact, ms", "number"),
}
MEASURED = [name for name in COLUMNS if not name.startswith("accuracy_") and name != "curve"]
TIMED, TIMES = 1000, 5  # images of a forward pass that is timed, and how often after one to warm up


@dataclass(frozen=True, kw_only=True)
class Searches:
    """The size of the study.

    Attributes:
        epochs: of every training; experiments hand it on to their methods.
        repeats: seeds, counted from the run's own.
    """

    epochs: int
    repeats: int

    def __post_init__(self) -> None:
        checks.integer("epochs", self.epochs, at_least=1)
        checks.integer("repeats", self.repeats, at_least=1)


@dataclass(frozen=True, kw_only=True)
class MaskDistances:
    """Every method is a ticket, measured; of those named, the distances between the masks of all periods are drawn.

    Methods that differ only in what they draw and how they train on share one search per seed.

    Attributes:
        grid: which of the grids.
        grids: by name.
        matrix: methods that draw units, whose masks are followed to the recipe's end.
        labels: what table and figure call the methods, where that differs from their names.
    """

    grid: str
    grids: dict[str, Searches]
    matrix: list[str]
    labels: dict[str, str]

    def __post_init__(self) -> None:
        checks.choice("grid", self.grid, self.grids)
        checks.listed("matrix", self.matrix)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses a matrix of methods that draw no units; see `Study.check`."""
        for name in self.matrix:
            checks.choice("matrix", name, methods)
            if not isinstance(methods[name], UnitTicket):
                raise ConfigError(f"matrix names {name}, which draws no units: choose an early_bird or an early_bert")

    def amounts(self) -> Mapping[str, float]:
        """Seeds, and epochs of each training; see `Scales`."""
        grid = self.grids[self.grid]
        return {"epochs": grid.epochs, "repeats": grid.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """The tickets and matrices seed by seed, then table and figure."""
        (data,) = problem.need("data")
        self.check(methods)
        parts = [repr(part) for part in (self, dict(methods), problem.network, problem.device)]
        kept, grid = Points(recorder, " ".join([*parts, data.fingerprint()])), self.grids[self.grid]
        points: list[Point] = []
        for seed in range(problem.streams.seed, problem.streams.seed + grid.repeats):
            seeded = replace(problem, streams=Streams(seed))
            points += kept.get(f"seed {seed}", partial(self._of_a_seed, methods, seeded))
        rows = [self._row(name, points) for name in methods]
        for row in rows:
            recorder.say(f"{row['curve']}: accuracy {100 * row['accuracy']:.2f} %")
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary={
                f"{name}/{key}": row[key]
                for name, row in zip(methods, rows, strict=True)
                for key in COLUMNS
                if key != "curve" and row[key] is not None
            },
            points=[{key: value for key, value in point.items() if not key.endswith("_ms")} for point in points],
            figures={"mask_distances": self._figure(methods, points)} if self.matrix else {},
        )

    def _of_a_seed(self, methods: Mapping[str, Any], problem: Problem, recorder: Recorder) -> list[Point]:
        found = [_measured(name, method, problem, recorder) for name, method in methods.items()]
        return found + [point for name in self.matrix for point in _matrix(name, methods[name], problem, recorder)]

    def _row(self, name: str, points: Sequence[Point]) -> dict[str, Any]:
        """Means over the seeds."""
        mine = [point for point in points if point["curve"] == name and "accuracy" in point]
        row: dict[str, Any] = {"curve": self.labels.get(name, name)}
        for key in MEASURED:
            values = [point[key] for point in mine if point.get(key) is not None]
            row[key] = statistics.mean(values) if values else None
        accuracies = [point["accuracy"] for point in mine]
        return {**row, "accuracy_min": min(accuracies), "accuracy_max": max(accuracies)}

    def _figure(self, methods: Mapping[str, Any], points: Sequence[Point]) -> Description:
        rows = {name: self._row(name, points) for name in self.matrix}
        return {
            "kind": "mask_distances",
            "panels": {name: self.labels.get(name, name) for name in self.matrix},
            "drawn": {name: row["drawn_epoch"] for name, row in rows.items()},
            "agree": {name: row["masks_agree"] for name, row in rows.items()},
            "most": {name: methods[name].distance for name in self.matrix},
            "axis_label": "epochs",
        }


def _measured(name: str, method: Any, problem: Problem, recorder: Recorder) -> Point:
    """One ticket, and of units that are pruned whole, its compact network."""
    found = method.find(problem, recorder)
    measured = measure_ticket(materialise(found.ticket), problem, epsilon=1.0, outputs=False, approximates=False)
    point: Point = {
        "curve": name,
        "seed": problem.streams.seed,
        "accuracy": measured["accuracy"],
        "weights_share": measured["kept"] / measured["offered"],
        "early_stop_accuracy": found.ticket.facts.get("early_stop_accuracy"),
        "drawn_epoch": found.ticket.facts.get("searched_epochs"),
        "masks_agree": found.ticket.facts.get("masks_agree"),
    }
    return {**point, **_compact(method, found, problem)} if isinstance(method, UnitTicket) else point


def _compact(method: UnitTicket, found: Found, problem: Problem) -> dict[str, float]:
    """Sizes, and milliseconds for 1000 images (fewer, where there are no more) masked and compact."""
    (data,) = problem.need("data")
    groups = method.units(found.ticket.architecture)
    kept = kept_units(groups, found.ticket.masks)
    whole = materialise(found.ticket).module().to(problem.device)
    smaller = compacted(whole, groups, kept).eval()
    inputs = select(data.test_inputs, slice(TIMED))
    sizes = [sum(parameter.numel() for parameter in each.parameters()) for each in (smaller, whole)]
    units = np.concatenate(list(kept.values()))
    return {
        "units_share": float(units.mean()),
        "compact_share": sizes[0] / sizes[1],
        "whole_ms": _milliseconds(whole, inputs),
        "compact_ms": _milliseconds(smaller, inputs),
    }


@torch.no_grad()
def _milliseconds(module: torch.nn.Module, inputs: Inputs) -> float:
    """The median time of a forward pass, for 1000 inputs."""
    taken = []
    for _ in range(TIMES + 1):
        begun = time.perf_counter()
        module(inputs).sum().item()  # waits for a GPU
        taken.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(taken[1:]) / num_samples(inputs)


def _matrix(name: str, method: UnitTicket, problem: Problem, recorder: Recorder) -> list[Point]:
    """The distances of the masks of every two periods of the whole recipe."""
    drawing = method.drawing(problem, recorder)
    while not drawing.search.ended:
        drawing.search.grow()
    epochs = [step / drawing.trainings.steps_per_epoch for step in drawing.search.steps]
    return [
        {"curve": name, "seed": problem.streams.seed, "row": row, "column": column, "distance": float(distance)}
        for row, line in zip(epochs, distances(drawing.masks(method.density)), strict=True)
        for column, distance in zip(epochs, line, strict=True)
    ]
