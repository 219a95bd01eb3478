"""How far outputs of constructed tickets are from the target's, and may be at most, and how many predictions change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.digest import checksum
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import images as images_of
from lth_runner.measure.function_error import region_of, ticket_bound
from lth_runner.measure.outputs import compare
from lth_runner.networks.interface import Architecture, filled
from lth_runner.networks.layers import weight_layers
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Points, mean
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column, Row
from lth_runner.studies.changed import at_every_n, check_values
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import Materialised, approximated_by, materialise

BATCH = 500
MEASURES = {"bound": "at most, by the bound", "largest": "largest on the test images", "average": "mean on these"}
COLUMNS = {
    "label": Column("construction", "text"),
    "n": Column("n", "count"),
    "bound": Column("bound", "error"),
    "largest": Column("largest on test images", "error"),
    "average": Column("mean on test images", "error"),
    "loose": Column("bound / largest", "number"),
    "accuracy": Column("test accuracy", "percent"),
    "changed": Column("changed predictions", "number"),
    "changed_low": Column("at least", "count"),
    "changed_high": Column("at most", "count"),
    "unchanged": Column("networks without any", "count"),
    "networks": Column("of", "count"),
}


@dataclass(frozen=True, kw_only=True)
class OutputError:
    """Every construction at several n and over several random networks, the target and the test images the same.

    The bound is on the Euclidean norm of the outputs' difference, for all inputs no longer than the longest test image;
    what is seen is the largest and the mean |difference| of one output over the test images. Where layers of
    a random network have no negative inputs, one matrix is multiplied with in the place of two layers, which gives the
    same outputs up to rounding in a fraction of the time.

    Attributes:
        values: of n, ascending, by the construction's name.
        repeats: seeds, counted from the run's own.
        labels: of the constructions, for people.
        axis_label: what n is called in the figure.
    """

    values: dict[str, list[int]]
    repeats: int
    labels: dict[str, str]
    axis_label: str

    def __post_init__(self) -> None:
        checks.integer("study.repeats", self.repeats, at_least=1)
        check_values(self.values)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses methods without values, and an n that a method refuses; see `Study.check`."""
        list(at_every_n(methods, self.values))

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """Every method at every n; see `Tries`."""
        yield from ((method, network) for _, _, method in at_every_n(methods, self.values))

    def amounts(self) -> Mapping[str, float]:
        """Seeds; see `Scales`."""
        return {"repeats": self.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Seed by seed, so that all curves grow together."""
        self.check(methods)
        target, data, network = problem.need("target", "data", "network")
        parts = [repr(part) for part in (self, dict(methods), network)]
        kept = Points(recorder, " ".join([*parts, data.fingerprint(), checksum(target)]))
        points: list[dict[str, Any]] = []
        for seed in range(problem.streams.seed, problem.streams.seed + self.repeats):
            seeded = replace(problem, streams=Streams(seed))
            for name, n, method in at_every_n(methods, self.values):

                def find(work: Recorder, seeded: Problem = seeded, method: Method = method) -> list[dict[str, Any]]:
                    return [measured(materialise(method.find(seeded, work).ticket), seeded)]

                (found,) = kept.get(f"{name}, n = {n}, seed {seed}", find)
                points.append({"curve": name, "n": n, "seed": seed, **found})
        rows = self._rows(points)
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary=self._summary(rows),
            points=[*_by_measure(points), *({**_key(p), "panel": "changed", "value": p["changed"]} for p in points)],
            figures={"output_error": self._figure(methods)},
        )

    def _rows(self, points: list[dict[str, Any]]) -> list[Row]:
        """Means over the seeds."""
        rows = []
        for curve, n in dict.fromkeys((point["curve"], point["n"]) for point in points):
            same = [point for point in points if (point["curve"], point["n"]) == (curve, n)]
            row: dict[str, Any] = {key: mean(same, key) for key in (*MEASURES, "changed")}
            row["accuracy"] = None if same[0]["accuracy"] is None else mean(same, "accuracy")
            counts = [point["changed"] for point in same]
            row |= {"changed_low": min(counts), "changed_high": max(counts), "unchanged": counts.count(0)}
            row |= {"loose": row["bound"] / row["largest"] if row["largest"] else None, "networks": len(same)}
            rows.append({"curve": curve, "label": self.labels.get(curve, curve), "n": n, **row})
        return rows

    def _summary(self, rows: list[Row]) -> dict[str, Any]:
        """Every number, and the least n tried from which on no prediction of any network changes."""
        summary: dict[str, Any] = {
            f"{row['curve']}/{row['n']}/{key}": row[key] for row in rows for key in (*MEASURES, "changed", "unchanged")
        }
        for curve in dict.fromkeys(row["curve"] for row in rows):
            summary[f"{curve}/unchanged_from_n"] = unchanged_from([row for row in rows if row["curve"] == curve])
        return summary

    def _figure(self, methods: Mapping[str, Method]) -> Description:
        common = {"x": "n", "x_label": self.axis_label, "x_scale": "linear", "y": "value", "level": None}
        limits = {"y_scale": "log", "y_limits": [None, None]}
        named = {name: self.labels.get(name, name) for name in methods}
        panels = [
            {**common, **limits, "part": name, "y_label": f"difference of outputs\n({label})"}
            for name, label in named.items()
        ]
        last = {"part": "changed", "y_label": "changed predictions", "y_scale": "symlog", "y_limits": [0, None]}
        return {
            "kind": "panels",
            "labels": {**MEASURES, **named},
            "caption": f"mean and range over {self.repeats} random networks",
            "panels": [*panels, {**common, **last}],
        }


def measured(network: Materialised, problem: Problem) -> dict[str, Any]:
    """Bound and differences of one ticket's network, and how many of its predictions are not the target's."""
    architecture, target, data = problem.need("network", "target", "data")
    images = images_of(data.test_inputs).cpu()
    sought = approximated_by(network.ticket, target)
    module, reference = _module(network, problem), filled(architecture, target, torch.float64)
    labels = None if data.test_labels is None else data.test_labels.cpu()
    found = compare(module, reference, images, None, None, BATCH, labels)
    return {
        "bound": ticket_bound(network, sought, tuple(images.shape[1:]))(region_of(images)),
        "largest": found["output_difference_max"],
        "average": found["output_difference_mean"],
        "accuracy": found.get("accuracy"),
        "changed": round((1 - found["agreement"]) * len(images)),
    }


def unchanged_from(rows: list[Row]) -> int | None:
    """The least n, of ascending rows, from which on all networks have no changed prediction; None if there is none."""
    found = None
    for row in reversed(rows):
        if row["unchanged"] < row["networks"]:
            break
        found = row["n"]
    return found


def _module(network: Materialised, problem: Problem) -> torch.nn.Module:
    """The pruned network, with one matrix in the place of two layers where no input of theirs is negative."""
    expansion = network.ticket.architecture
    architecture, target, data = problem.need("network", "target", "data")
    layers = weight_layers(architecture, positive_inputs=bool((images_of(data.test_inputs) >= 0).all()))
    whole = network.module(torch.float64)
    if isinstance(expansion, NeuronCopies) and not expansion.twin:
        return _perceptron(expansion.multipliers(whole))
    if isinstance(expansion, TwoLayerExpansion) and all(layer.never_negative for layer in layers):
        positive = {name: readings[0] for name, readings in network.readings.items()}
        return filled(architecture, {**target, **positive}, torch.float64)
    return whole


def _perceptron(weights: list[np.ndarray]) -> torch.nn.Module:
    parts: list[torch.nn.Module] = [torch.nn.Flatten()]
    for weight in weights:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight = torch.nn.Parameter(torch.from_numpy(weight))
        parts += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1]).requires_grad_(False)


def _key(point: Mapping[str, Any]) -> dict[str, Any]:
    return {key: point[key] for key in ("curve", "n", "seed")}


def _by_measure(points: list[dict[str, Any]]) -> list[Point]:
    """A panel for each construction, a curve for each measure."""
    return [
        {**_key(point), "panel": point["curve"], "curve": measure, "value": point[measure]}
        for measure in MEASURES
        for point in points
    ]
