"""Methods beside each other on one target: a row each, and curves over one setting."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.weight_errors import WeightErrors
from lth_runner.measure.accuracy import chance_warning
from lth_runner.measure.claims import claimed
from lth_runner.measure.layer_use import numbers, told_layer_uses
from lth_runner.measure.ticket import measure_target, measure_ticket
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import OUTPUT_COLUMNS, TICKET_COLUMNS, Column
from lth_runner.studies.comparison_figures import WIDTH_COLUMNS, hidden_per_input, outputs_figure, width_figure
from lth_runner.study import Outcome, flat
from lth_runner.ticket.materialise import Materialised, materialise
from lth_runner.ticket.names import recipe
from lth_runner.ticket.plain import KIND
from lth_runner.ticket.ticket import Ticket

LAW = "weight_error_median_law"
Also = Callable[[str, Materialised], dict[str, float]]  # further measures of a row's network
AGAINST = ("axis", "drawn", "width")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Finds the ticket of every method, measures them alike, and follows accuracy and error along one setting.

    Attributes:
        axis: the setting that varies along the curves, a field of the methods ("n", "density").
        axis_label: what it is called in the figure.
        values: what it takes; empty for no curve.
        own_values: what it takes for single curves instead, by their names.
        curves: names of the methods drawn.
        against: what the figure's x axis shows: "axis"; "drawn", the random numbers drawn in all; or "width", hidden
            neurons for each input of a layer, for methods that build networks twice as deep. Then the outputs of every
            point are compared with the target's.
        outputs: compare the outputs of every point with the target's, and draw these differences in place of weight
            errors.
        labels: what the figure calls them, where that differs from the name.
        epsilon: weights with a larger error are counted.
        laws: what the median weight error of single curves should be where the axis is n, by their names: dotted lines,
            for methods with the settings that a law is for. Of methods that are left out they are left out, too.
    """

    axis: str
    axis_label: str
    values: list[Any]
    own_values: dict[str, list[Any]]
    curves: list[str]
    against: str
    outputs: bool
    labels: dict[str, str]
    epsilon: float
    laws: dict[str, WeightErrors]

    def __post_init__(self) -> None:
        checks.positive("epsilon", self.epsilon)
        checks.listed("study.values", self.values)
        checks.listed("study.curves", self.curves)
        checks.choice("against", self.against, AGAINST)
        for name in self.own_values:
            checks.choice("own_values", name, self.curves)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses curves of no method, and points that a method refuses; see `Study.check`."""
        for name in self.curves:
            checks.choice("study.curves", name, methods)
            self._check_axis(name, methods[name])
            for value in self.own_values.get(name, self.values):
                self._at(methods[name], value)
        for name in self.laws.keys() & methods.keys():
            for key in self.laws[name].holds_for:
                checks.choice(f"study.laws.{name}.holds_for", key, recipe(methods[name]))

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """The methods as they are, and at every point of their curves; see `Tries`."""
        yield from ((method, network) for method in methods.values())
        for name in self.curves:
            yield from ((self._at(methods[name], value), network) for value in self.own_values.get(name, self.values))

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """One ticket per method, then the points of the curves."""
        return self.compare(problem, methods, recorder, [])

    def compare(
        self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder, also: Sequence[Also]
    ) -> Outcome:
        """The same, with further measures: each sees the network that all others see."""
        self.check(methods)
        measured: dict[str, dict[str, Any]] = {}
        tickets: dict[str, Ticket] = {}
        layers: dict[str, dict[str, Any]] = {}
        if problem.target is not None:
            measured["target"] = measure_target(problem)
            recorder.say(_line("target", measured["target"]))
            self._warn(measured["target"]["accuracy"], problem, recorder)
        for name, method in methods.items():
            measured[name], network = self._measured(method, problem, recorder, outputs=True)
            tickets[name] = claimed(network.ticket, measured[name], method, problem, self.epsilon)
            recorder.say(_line(name, measured[name]))
            layers[name] = _layers(name, network, problem, recorder)
            for measure in also:
                further = measure(name, network)
                recorder.metrics(curve=name, **further)
                measured[name] |= further
        points = self._points(problem, methods, measured, recorder)
        measured = {name: row | layers.get(name, {}) for name, row in measured.items()}
        return Outcome(
            rows=[{**row, "network": name} for name, row in measured.items()],
            columns=self._columns(problem),
            summary={key: value for name, row in measured.items() for key, value in flat(name, row).items()},
            points=points,
            figures=self._figures(measured) if points else {},
            tickets=tickets,
        )

    def _measured(
        self, method: Method, problem: Problem, recorder: Recorder, outputs: bool
    ) -> tuple[dict[str, Any], Materialised]:
        found = method.find(problem, recorder)
        network = materialise(found.ticket, bars=recorder.progress)
        approximates = method.needs_target
        row = measure_ticket(network, problem, self.epsilon, outputs=outputs, approximates=approximates)
        if self.against == "width":
            row |= {"width": hidden_per_input(found.ticket), "changed": 1 - row["agreement"]}
        return row | dict(found.times), network

    def _columns(self, problem: Problem) -> dict[str, Column]:
        columns = TICKET_COLUMNS if _has_labels(problem) else TICKET_COLUMNS | OUTPUT_COLUMNS
        return columns | WIDTH_COLUMNS if self.against == "width" else columns

    def _warn(self, accuracy: float | None, problem: Problem, recorder: Recorder) -> None:
        labels = None if problem.data is None else problem.data.test_labels
        if accuracy is not None and labels is not None and (warning := chance_warning(accuracy, labels)):
            recorder.say(warning)

    def _check_axis(self, name: str, method: Any) -> None:
        known = [name for name in recipe(method) if name != KIND]
        if self.axis not in known:
            raise ConfigError(f"study.axis={self.axis} is not a setting of {name}, which has {', '.join(known)}")

    def _at(self, method: Any, value: Any) -> Any:
        """The method at a point of its curve."""
        return replace(method, **{self.axis: value})

    def _points(
        self, problem: Problem, methods: Mapping[str, Method], measured: dict[str, dict[str, Any]], recorder: Recorder
    ) -> list[Point]:
        points = []
        for name in self.curves:
            law, values = self._law(name, methods[name], recorder), self.own_values.get(name, self.values)
            medians = [{}] * len(values) if law is None else [{LAW: x} for x in law.medians(problem, values)]
            for value, median in zip(values, medians, strict=True):
                if measured[name].get(self.axis) == value:  # the row of the table is a point of the curve
                    found = measured[name]
                else:
                    method, outputs = self._at(methods[name], value), self.outputs or self.against == "width"
                    found, network = self._measured(method, problem, recorder, outputs=outputs)
                    _layers(f"{name}, {self.axis} = {value}", network, problem, recorder)
                line = {"curve": name, "axis": self.axis, **found, **median, self.axis: value}
                recorder.metrics(**{key: value for key, value in line.items() if value is not None})
                points.append({key: value for key, value in line.items() if key != "axis"})
        return points

    def _law(self, name: str, method: Method, recorder: Recorder) -> WeightErrors | None:
        """The law of a curve, where it is one over n and the method has the settings that the law is for."""
        if name not in self.laws or self.axis != "n":
            return None
        law, has = self.laws[name], recipe(method)
        if other := [key for key, value in law.holds_for.items() if has[key] != value]:
            differs = ", ".join(f"{key}={has[key]} (not {law.holds_for[key]})" for key in other)
            recorder.say(f"no line of the law beside {name}: it has {differs}")
            return None
        return law

    def _figures(self, measured: dict[str, dict[str, Any]]) -> dict[str, Description]:
        accuracy = measured["target"]["accuracy"] if "target" in measured else None
        if self.against == "width":
            return {"width": width_figure(accuracy, self.labels)}
        drawn = self.against == "drawn"
        axis, label = ("drawn", "random weights drawn in all") if drawn else (self.axis, self.axis_label)
        if self.outputs:
            return {"curves": outputs_figure(accuracy, self.labels, axis, label, log_axis=drawn)}
        description = {
            "kind": "curves",
            "axis": axis,
            "axis_label": label,
            "log_axis": drawn,
            "target_accuracy": accuracy,
            "epsilon": self.epsilon,
            "labels": self.labels,
        }
        return {"curves": description}


def _has_labels(problem: Problem) -> bool:
    return problem.data is None or problem.data.test_labels is not None


def _layers(name: str, network: Materialised, problem: Problem, recorder: Recorder) -> dict[str, Any]:
    """What each layer keeps, for the summary; layers without a path are named at once."""
    return numbers(told_layer_uses(name, network, problem.data, recorder.say))


def _line(name: str, row: dict[str, Any]) -> str:
    accuracy = "no accuracy" if row["accuracy"] is None else f"accuracy {100 * row['accuracy']:.2f} %"
    return f"{name}: {accuracy}, {row['kept_ratio']:.2f} weights kept per target weight"
