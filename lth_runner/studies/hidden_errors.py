"""Constructions of different depths on one network: what each costs, and how errors grow from layer to layer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import images as images_of
from lth_runner.data.interface import num_samples, select
from lth_runner.measure.claims import claimed
from lth_runner.measure.depth import depth
from lth_runner.measure.hidden import layer_differences
from lth_runner.measure.ticket import measure_target, measure_ticket
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column, Row
from lth_runner.studies.changed import at_every_n, check_values
from lth_runner.study import Outcome, flat
from lth_runner.ticket.materialise import Materialised, materialise
from lth_runner.ticket.ticket import Ticket

COLUMNS = {
    "network": Column("network", "text"),
    "n": Column("n", "count"),
    "depth": Column("depth", "count"),
    "accuracy": Column("test accuracy", "percent"),
    "changed": Column("changed predictions", "count"),
    "drawn": Column("random numbers", "count"),
    "offered_ratio": Column("for each weight", "multiple"),
    "kept_ratio": Column("kept", "multiple"),
    "weight_error_median": Column("median weight error", "error"),
    "over_epsilon": Column("not within epsilon", "count"),
    "unsolved": Column("left unsolved", "count"),
    "hidden_error_last": Column("relative error of the last layer", "error"),
    "output_difference_max": Column("largest output difference", "error"),
    "solve_time_s": Column("solve time", "seconds"),
}
SHOWN = 1000  # larger errors would leave no room for the others in the figure
SUMMARY = [key for key in COLUMNS if key != "network"]


@dataclass(frozen=True, kw_only=True)
class HiddenErrors:
    """Every method at several n on one target: its table, and the relative error behind every layer.

    A weight that has several readings, as many as its neuron has copies, is within epsilon if all of them are.

    Attributes:
        values: of n, ascending, by the method's name.
        images: the first test images, on which the outputs of the networks are compared; None: all of them. Tickets
            claim their accuracy only where it is that of all.
        layer_images: those of them on which the outputs of all layers are compared.
        labels: of the methods, for people.
        epsilon: weights with a larger error are counted.
    """

    values: dict[str, list[int]]
    images: int | None
    layer_images: int
    labels: dict[str, str]
    epsilon: float

    def __post_init__(self) -> None:
        if self.images is not None:
            checks.integer("study.images", self.images, at_least=1)
        checks.integer("study.layer_images", self.layer_images, at_least=1)
        checks.positive("epsilon", self.epsilon)
        check_values(self.values)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses methods without values, and an n that a method refuses; see `Study.check`."""
        list(at_every_n(methods, self.values))

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """Every method at every n; see `Tries`."""
        yield from ((method, network) for _, _, method in at_every_n(methods, self.values))

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """A row and a curve for each."""
        self.check(methods)
        (network,), shown = problem.need("network"), self._shown(problem)
        rows: list[Row] = [{"network": "target", "depth": depth(network), **measure_target(shown)}]
        points: list[Point] = []
        tickets: dict[str, Ticket] = {}
        for name, n, method in at_every_n(methods, self.values):
            key = f"{name}, n = {n}"
            found = method.find(problem, recorder)
            measured = materialise(found.ticket, bars=recorder.progress)
            errors = self._errors(measured, shown)
            row = self._row(measured, shown) | dict(found.times) | {"hidden_error_last": list(errors.values())[-1]}
            of_all = row if self.images is None else {**row, "accuracy": None}
            tickets[f"{name}_{n}"] = claimed(found.ticket, of_all, method, problem, self.epsilon)
            rows.append({**row, "network": self.labels.get(name, name), "n": n, "key": f"{name}/{n}"})
            new = _points(key, row, errors)
            points += new
            for point in new:
                recorder.metrics(**point)
            recorder.say(f"{key}: {_line(row)}")
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary=_summary(rows),
            points=points,
            figures={"residual": self._figure(methods)},
            tickets=tickets,
        )

    def _shown(self, problem: Problem) -> Problem:
        """The problem with the test images that are looked at."""
        (data,) = problem.need("data")
        if self.images is None:
            return problem
        labels = None if data.test_labels is None else data.test_labels[: self.images]
        inputs = select(data.test_inputs, slice(0, self.images))
        return replace(problem, data=replace(data, test_inputs=inputs, test_labels=labels))

    def _row(self, network: Materialised, problem: Problem) -> dict[str, Any]:
        (data,) = problem.need("data")
        row = measure_ticket(network, problem, self.epsilon, outputs=True, approximates=True)
        row |= {"depth": depth(network.ticket.architecture), "drawn": network.ticket.drawn()}
        return row | {"changed": round((1 - row["agreement"]) * num_samples(data.test_inputs))}

    def _errors(self, network: Materialised, problem: Problem) -> dict[str, float]:
        target, data = problem.need("target", "data")
        images = images_of(data.test_inputs).cpu().double()[: self.layer_images]
        return layer_differences(network, target, images)

    def _figure(self, methods: Mapping[str, Method]) -> Description:
        keys = {name: [f"{name}, n = {n}" for n in self.values[name]] for name in methods}
        common = {"y": "value", "y_scale": "log", "y_limits": [None, SHOWN], "level": None}
        layers = {"part": "layers", "x": "layer", "x_label": "layer, in the order of the forward pass"}
        size = {"part": "size", "x": "drawn", "x_label": "random numbers"}
        return {
            "kind": "panels",
            "labels": {key: key.replace(name, self.labels.get(name, name), 1) for name in keys for key in keys[name]},
            "caption": f"Pruned random networks beside their target; errors above {SHOWN:,} stand in the table.",
            "panels": [
                {**common, **layers, "x_scale": "linear", "y_label": "relative error of the layer's outputs"},
                {**common, **size, "x_scale": "linear", "y_label": "largest output difference"},
            ],
        }


def _points(key: str, row: Mapping[str, Any], errors: Mapping[str, float]) -> list[Point]:
    """One for every layer, counted from 1, and one for the network."""
    each = [
        {"panel": "layers", "curve": key, "layer": place, "name": name, "value": error}
        for place, (name, error) in enumerate(errors.items(), start=1)
    ]
    return [*each, {"panel": "size", "curve": key, "drawn": row["drawn"], "value": row["output_difference_max"]}]


def _summary(rows: list[Row]) -> dict[str, Any]:
    parts = (flat(row.get("key", "target"), {key: row[key] for key in SUMMARY if key in row}) for row in rows)
    return {key: value for part in parts for key, value in part.items()}


def _line(row: Mapping[str, Any]) -> str:
    accuracy = "no accuracy" if row.get("accuracy") is None else f"accuracy {100 * row['accuracy']:.2f} %"
    return (
        f"depth {row['depth']}, {accuracy}, {row['changed']} predictions changed, {row['kept_ratio']:.1f} weights kept "
        f"per target weight, last layer off by {row['hidden_error_last']:.1e}"
    )
