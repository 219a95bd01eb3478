"""Constructions on networks of several activation functions: what each costs, and what curvature near zero adds."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import images as images_of
from lth_runner.measure.claims import claimed
from lth_runner.measure.function_error import Pair, bounds, curvature_error_seen, region_of
from lth_runner.measure.ticket import measure_target, measure_ticket
from lth_runner.networks.activated import Activated
from lth_runner.networks.activations import Activation
from lth_runner.networks.interface import Architecture, filled
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column
from lth_runner.study import Outcome, flat
from lth_runner.targets.interface import Target
from lth_runner.ticket.materialise import Materialised, materialise
from lth_runner.ticket.names import recipe
from lth_runner.ticket.ticket import Ticket

COLUMNS = {
    "activation": Column("activation", "text"),
    "network": Column("network", "text"),
    "accuracy": Column("test accuracy", "percent"),
    "changed": Column("changed predictions", "percent"),
    "width": Column("added neurons per input", "number"),
    "offered_ratio": Column("weights offered", "multiple"),
    "kept_ratio": Column("weights kept", "multiple"),
    "weight_error_median": Column("median weight error", "error"),
    "over_epsilon": Column("not within epsilon", "count"),
    "output_difference_max": Column("largest output difference", "error"),
    "function_error_test_bound": Column("certified", "error"),
    "curvature_error_test": Column("by curvature alone", "error"),
    "curvature_error_test_bound": Column("that certified", "error"),
}
CURVE = ("output_difference_max", "curvature_error_test", "curvature_error_test_bound", "rounding")


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Every method on the run's network with each activation in place of its ReLUs, on targets trained alike.

    Methods with a setting `activation` get that of the target for their random neurons, and the scale named for it;
    the others have no random neurons. One of them is followed along the scale of its first weights, where neurons are
    linear only near zero.

    Attributes:
        activations: by name.
        scales: of the first random weights, by the name of the activation; 1 where none is named.
        curve: name of the method that is followed.
        values: scales that it is followed over.
        labels: what table and figure call the methods.
        images: so many test images, the first ones, are what the curve and curvature are measured on; all else is on
            the whole set.
        target: where the weights of each network come from.
        epsilon: weights with a larger error are counted.
    """

    activations: dict[str, Activation]
    scales: dict[str, float]
    curve: str
    values: list[float]
    labels: dict[str, str]
    images: int
    target: Target
    epsilon: float

    def __post_init__(self) -> None:
        checks.positive("study.epsilon", self.epsilon)
        checks.integer("study.images", self.images, at_least=1)
        checks.listed("study.values", self.values)
        if not self.activations:
            raise ConfigError("study.activations is empty: name some, as {tanh: {_target_: ...}}")
        for name, scale in self.scales.items():
            checks.choice("study.scales", name, self.activations)
            checks.positive(f"study.scales.{name}", scale)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses a curve of no method, or of one without random neurons; see `Study.check`."""
        if not self.values:
            return
        checks.choice("study.curve", self.curve, methods)
        if "activation" not in recipe(methods[self.curve]):
            raise ConfigError(f"study.curve={self.curve} has no random neurons: name one such as pensia")

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """Every method on every network; see `Tries`."""
        for name, activation in self.activations.items():
            for method in methods.values():
                yield self._on(method, name), Activated(original=network, activation=activation)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """One target, one ticket per method, and the curve, for each activation in turn."""
        self.check(methods)
        network, data = problem.need("network", "data")
        rows: list[dict[str, Any]] = []
        points: list[Point] = []
        tickets: dict[str, Ticket] = {}
        for name, activation in self.activations.items():
            architecture = Activated(original=network, activation=activation)
            weights = self.target.weights(architecture, data, problem.streams, problem.device, recorder)
            own = replace(problem, network=architecture, target=weights)
            rows.append({"activation": name, "network": "target", **measure_target(own)})
            for key, method in methods.items():
                row, ticket = self._row(self._on(method, name), own, recorder)
                rows.append({"activation": name, "network": self.labels.get(key, key), "method": key, **row})
                tickets[f"{name}_{key}"] = ticket
                recorder.say(f"{name}: {_line(rows[-1])}")
            if self.values and activation.behaviour().curvature:
                points += [self._point(methods[self.curve], name, own, scale, recorder) for scale in self.values]
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary={key: value for row in rows for key, value in _summary(row).items()},
            points=points,
            figures={"activations": self._figure()} if points else {},
            tickets=tickets,
        )

    def _on(self, method: Any, name: str, scale: float | None = None) -> Any:
        """The method with random neurons of this activation, if it has any."""
        if "activation" not in recipe(method):
            return method
        used = self.scales.get(name, 1.0) if scale is None else scale
        return replace(method, activation=self.activations[name], scale=used)

    def _row(self, method: Method, problem: Problem, recorder: Recorder) -> tuple[dict[str, Any], Ticket]:
        found = method.find(problem, recorder)
        network = materialise(found.ticket, bars=recorder.progress)
        row = measure_ticket(network, problem, self.epsilon, outputs=True, approximates=True)
        ticket = claimed(found.ticket, row, method, problem, self.epsilon)
        row |= {"changed": 1 - row["agreement"], "width": _width(ticket)}
        return row | self._certified(network, problem, recorder), ticket

    def _certified(self, network: Materialised, problem: Problem, recorder: Recorder) -> dict[str, float]:
        """How far outputs may differ on test images, and how far curvature makes them differ on the first of them."""
        (target,) = problem.need("target")
        images = self._images(problem)
        found = bounds(network, target, tuple(images.shape[1:]), {"test": region_of(images)}, recorder)
        return found | curvature_error_seen(network, images[: self.images])

    def _point(self, method: Method, name: str, problem: Problem, scale: float, recorder: Recorder) -> Point:
        found = self._on(method, name, scale).find(problem, recorder)
        network, (architecture, target) = materialise(found.ticket), problem.need("network", "target")
        images = self._images(problem)[: self.images]
        pair = Pair(network.module(torch.float64), filled(architecture, target, torch.float64))
        single = network.module()(images.float()).double()
        row = self._certified(network, problem, recorder)
        row |= {"output_difference_max": float(pair.differences(images).max())}
        row |= {"rounding": float((single - pair.pruned(images)).abs().max())}
        point = {"curve": name, "scale": scale, **{column: row[column] for column in CURVE}}
        recorder.metrics(**point)
        return point

    def _images(self, problem: Problem) -> torch.Tensor:
        (data,) = problem.need("data")
        return images_of(data.test_inputs).cpu().double()

    def _figure(self) -> Description:
        common = {"x": "scale", "x_label": "scale of the first random weights", "x_scale": "log"}
        common |= {"y_scale": "log", "y_limits": [None, None], "level": None}
        labels = {
            "output_difference_max": "largest output difference to the target",
            "curvature_error_test": "output difference by curvature",
            "curvature_error_test_bound": "output difference by curvature, at most",
            "rounding": "output difference by rounding, float32",
        }
        label = self.labels.get(self.curve, self.curve)
        return {
            "kind": "panels",
            "labels": {},
            "caption": f"{label.capitalize()}, with random neurons of the target's activation.",
            "panels": [{**common, "y": y, "y_label": labels[y]} for y in CURVE],
        }


def _width(ticket: Ticket) -> float | None:
    """Random neurons between the inputs and the first layer's outputs, for each input; None where there are none."""
    shapes = [source.shape for name, source in ticket.random.items() if name.endswith(".split.weight")]
    return shapes[0][0] / math.prod(shapes[0][1:]) if shapes else None


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {key: value for key, value in row.items() if key not in ("activation", "network", "method")}
    return flat(f"{row['activation']}/{row.get('method', 'target')}", numbers)


def _line(row: Mapping[str, Any]) -> str:
    curved = row.get("curvature_error_test")
    told = "" if curved is None else f", {curved:.1e} of it by curvature"
    return (
        f"{row['network']}: accuracy {100 * row['accuracy']:.2f} %, {row['kept_ratio']:.2f} weights kept per target "
        f"weight, outputs within {row['output_difference_max']:.1e} of the target's{told}"
    )
