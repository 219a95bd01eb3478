"""How the loss of a selection of neurons falls with its size, beside random selections and small networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.measure.ticket import network_accuracy
from lth_runner.networks.mlp import Mlp
from lth_runner.problem import Method, Problem
from lth_runner.prune.greedy_selection import GreedySelection
from lth_runner.prune.two_layers import TwoLayers, two_layers
from lth_runner.record.points import Point, Points, mean
from lth_runner.report.points import Description
from lth_runner.report.tables import Column, markdown
from lth_runner.studies.slopes import Slope, exponential, power
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import materialise

COLUMNS = {
    "curve": Column("curve", "text"),
    "power": Column("power of n", "number"),
    "power_low": Column("low", "number"),
    "power_high": Column("high", "number"),
    "power_straight": Column("variance explained", "percent"),
    "rate": Column("rate per neuron", "number"),
    "rate_low": Column("low", "number"),
    "rate_high": Column("high", "number"),
    "rate_straight": Column("variance explained", "percent"),
    "n": Column("n", "count"),
    "loss": Column("loss there", "number"),
    "accuracy": Column("test accuracy there", "percent"),
}
LOSSES = {  # of each objective
    "labels": "cross-entropy on labels",
    "output": "divergence of class probabilities",
    "layer": "squared distance of logits",
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The points of a figure.

    Attributes:
        counts: of additions.
        epochs: of every training; experiments hand it on to their methods.
        repeats: seeds, counted from the run's own.
    """

    counts: list[int]
    epochs: int
    repeats: int

    def __post_init__(self) -> None:
        checks.listed("counts", self.counts)
        for count in self.counts:
            checks.integer("counts", count, at_least=1)
        checks.integer("epochs", self.epochs, at_least=1)
        checks.integer("repeats", self.repeats, at_least=1)


@dataclass(frozen=True, kw_only=True)
class SelectionSize:
    """Every method is a curve: its loss on the images of the selection, by the number of additions n.

    A panel per objective on logarithmic axes, and test accuracies. Two slopes of each curve: of ln loss over ln n (a
    power) and over n (an exponential rate); the straighter one is the better law.

    Attributes:
        grid: which of the grids.
        grids: by name.
        narrow: methods whose ticket is all of a network with n hidden neurons (ReLU), and not a selection.
        fit: [least, greatest] n of the slopes.
        confidence: of their intervals.
        labels: what the figure calls the methods, where that differs from their names.
    """

    grid: str
    grids: dict[str, Sizes]
    narrow: list[str]
    fit: list[int]
    confidence: float
    labels: dict[str, str]

    def __post_init__(self) -> None:
        checks.choice("grid", self.grid, self.grids)
        checks.listed("narrow", self.narrow)
        if len(self.fit) != 2 or not 0 < self.fit[0] < self.fit[1]:
            raise ConfigError(f"fit must be the least and the greatest n of the slopes, got {self.fit}")
        checks.fraction("confidence", self.confidence)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses other methods than selections, and training after them; see `Study.check`."""
        for name in self.narrow:
            checks.choice("narrow", name, methods)
        for name, method in methods.items():
            if not isinstance(method, GreedySelection) or method.retrain:
                raise ConfigError(
                    f"{name} must be method=greedy_selection with retrain=false, or be left out of compare"
                )

    def amounts(self) -> Mapping[str, float]:
        """Seeds, and epochs of each training; see `Scales`."""
        grid = self.grids[self.grid]
        return {"epochs": grid.epochs, "repeats": grid.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Any], recorder: Recorder) -> Outcome:
        """The points, seed by seed so that all curves grow together, then table and figure."""
        network, _ = problem.need("network", "data")
        self.check(methods)
        points = self._points(problem, two_layers(network), methods, recorder)
        rows = [self._row(name, points) for name in methods]
        numbers = {f"{row['curve']}/{key}": row[key] for row in rows for key in COLUMNS if key != "curve"}
        for row in rows:
            recorder.say(f"{row['label']}: power of n {row['power_text']}, rate per neuron {row['rate_text']}")
        return Outcome(
            rows=[{**row, "curve": row["label"]} for row in rows],
            columns=COLUMNS,
            summary={**numbers, "fit_from": self.fit[0], "fit_to": self.fit[1]},
            points=points,
            figures={"selection_size": self._figure(methods)},
            texts={"selection_size.md": self._table(methods, points)},
        )

    def _points(
        self, problem: Problem, layers: TwoLayers, methods: Mapping[str, GreedySelection], recorder: Recorder
    ) -> list[Point]:
        (data,) = problem.need("data")
        grid, parts = self.grids[self.grid], [repr(part) for part in (self, dict(methods), problem.network)]
        kept = Points(recorder, " ".join([*parts, problem.device, data.fingerprint()]))
        counts = [count for count in grid.counts if count <= layers.hidden]
        found: list[Point] = []
        for seed in range(problem.streams.seed, problem.streams.seed + grid.repeats):
            seeded = replace(problem, streams=Streams(seed))
            for name, method in methods.items():
                label = f"{self.labels.get(name, name)}, seed {seed}"
                if name not in self.narrow:
                    found += kept.get(label, partial(_selected, name, method, seeded, counts, layers.hidden))
                    continue
                for n in counts:
                    narrow = replace(seeded, network=narrowed(layers, n))
                    found += kept.get(f"{label}, {n} neurons", partial(_selected, name, method, narrow, [n], n))
        return found

    def _row(self, name: str, points: Sequence[Point]) -> dict[str, Any]:
        """The slopes of a curve, and where it ends."""
        mine = _of(points, name)
        seeds = list(dict.fromkeys(point["seed"] for point in mine))
        x = sorted({point["n"] for point in mine if self.fit[0] <= point["n"] <= self.fit[1]})
        losses = {(point["seed"], point["n"]): point["loss"] for point in mine}
        curves = [[losses[seed, n] for n in x] for seed in seeds]
        found: dict[str, Any] = {"curve": name, "label": self.labels.get(name, name)}
        found |= _told("power", power(x, curves, self.confidence))
        found |= _told("rate", exponential(x, curves, self.confidence))
        last = max(point["n"] for point in mine)
        there = [point for point in mine if point["n"] == last]
        return {**found, "n": last, "loss": mean(there, "loss"), "accuracy": mean(there, "accuracy")}

    def _figure(self, methods: Mapping[str, GreedySelection]) -> Description:
        objectives = dict.fromkeys(method.objective for method in methods.values())
        names = {kind: [n for n, method in methods.items() if method.objective == kind] for kind in objectives}
        panels = [{"value": "loss", "label": LOSSES[kind], "curves": names[kind], "log": True} for kind in objectives]
        shown = names.get("labels") or list(methods)
        panels.append({"value": "accuracy", "label": "test accuracy", "curves": shown, "log": False})
        return {
            "kind": "losses",
            "axis": "n",
            "axis_label": "n, neurons added",
            "panels": panels,
            "fit": self.fit,
            "labels": self.labels,
        }

    def _table(self, methods: Mapping[str, GreedySelection], points: Sequence[Point]) -> str:
        """Losses and test accuracies by n, means over the seeds."""
        counts = sorted({point["n"] for point in points})
        headings, lines = ["n"], {n: [str(n)] for n in counts}
        for name in methods:
            headings += [self.labels.get(name, name), "accuracy"]
            for n in counts:
                same = [point for point in _of(points, name) if point["n"] == n]
                cells = (f"{mean(same, 'loss'):.3g}", f"{100 * mean(same, 'accuracy'):.2f} %") if same else ("", "")
                lines[n] += cells
        whole = [f"{self.labels.get(name, name)} {mean(_of(points, name), 'whole_loss'):.3g}" for name in methods]
        grid = self.grids[self.grid]
        said = (
            f"{self.grid.capitalize()} grid, mean of {grid.repeats} seeds. Losses of all neurons: {', '.join(whole)}."
        )
        return f"{said}\n\n{markdown(headings, lines.values())}"


def narrowed(layers: TwoLayers, hidden: int) -> Mlp:
    """A network of the same inputs and outputs with so many hidden neurons, ReLU."""
    return Mlp(inputs=layers.inputs, hidden=[hidden], outputs=layers.outputs, biases=layers.biases)


def _selected(
    name: str, method: GreedySelection, problem: Problem, counts: Sequence[int], hidden: int, recorder: Recorder
) -> list[Point]:
    """The points of one selection of so many hidden neurons."""
    (data,) = problem.need("data")
    found = method.find_each(problem, recorder, [count / hidden for count in counts])
    return [
        {
            "curve": name,
            "n": count,
            "seed": problem.streams.seed,
            "neurons": one.ticket.facts["neurons"],
            "loss": one.ticket.facts["selection_loss"],
            "whole_loss": one.ticket.facts["whole_loss"],
            "test_loss": one.ticket.facts["test_loss"],
            "accuracy": network_accuracy(materialise(one.ticket).module(), data),
        }
        for count, one in zip(counts, found, strict=True)
    ]


def _of(points: Sequence[Point], name: str) -> list[Point]:
    return [point for point in points if point["curve"] == name]


def _told(what: str, slope: Slope | None) -> dict[str, Any]:
    if slope is None:
        return {what: None, f"{what}_low": None, f"{what}_high": None, f"{what}_straight": None, f"{what}_text": "none"}
    ends = {f"{what}_low": slope.low, f"{what}_high": slope.high, f"{what}_straight": slope.straight}
    return {what: slope.value, **ends, f"{what}_text": slope.text()}
