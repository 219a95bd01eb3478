"""Linear mode connectivity: whether two trainings from one point, in other orders of the data, end in one valley."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.recorder import Recorder
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.data.interface import num_samples, select
from lth_runner.measure.barrier import Line, lines
from lth_runner.problem import Method, Problem
from lth_runner.prune.imp import Chain, IterativeMagnitudePruning
from lth_runner.prune.levels import Level, Masks
from lth_runner.record.points import Point, Points, mean, summary
from lth_runner.report.points import Description
from lth_runner.report.tables import Column
from lth_runner.studies.side_by_side import side_by_side, trials_of, workers
from lth_runner.study import Outcome
from lth_runner.training.state import State

STABLE = 0.02  # arXiv:1912.05671: a barrier below two percentage points
DENSE, SUCCESSIVE = "dense", "successive levels"
CONTROLS = {"none": "tickets", "reinitialised": "reinitialised", "random_mask": "random masks"}
COLUMNS = {
    "curve": Column("networks", "text"),
    "step": Column("common steps", "count"),
    "kept_fraction": Column("weights kept", "percent"),
    "pairs": Column("pairs", "count"),
    "barrier_test": Column("barrier, test error", "percent"),
    "barrier_test_high": Column("largest", "percent"),
    "barrier_train": Column("barrier, training error", "percent"),
    "error_test": Column("test error of the ends", "percent"),
}
MEASURES = ("barrier_test", "barrier_train", "error_test")


@dataclass(frozen=True, kw_only=True)
class ConnectivityGrid:
    """What is trained and compared.

    Attributes:
        steps: of the dense network before its two copies part, each a `Step`; those of tickets part at the method's
            `rewind`.
        levels: rounds of pruning whose networks are compared; of all levels on the way successive ones are compared.
        trials: seeds, counted from the run's own.
        orders: of the data, after the parting; all pairs are compared.
        length: of every training, as a `Step`; experiments hand it on to their methods.
    """

    steps: list[str]
    levels: list[int]
    trials: int
    orders: int
    length: str

    def __post_init__(self) -> None:
        for step in self.steps:
            Step.parse("steps", step)
        for level in self.levels:
            checks.integer("levels", level, at_least=0)
        checks.integer("trials", self.trials, at_least=1)
        checks.integer("orders", self.orders, at_least=2)


@dataclass(frozen=True, kw_only=True)
class ModeConnectivity:
    """Instability analysis of dense networks and of tickets, and barriers between successive levels.

    Two copies of one network, at one step, are trained to the end with other orders of the images; the barrier is the
    largest error on the straight line between them, minus the mean of its ends. Pruned weights are 0 on the whole line.

    Reference: arXiv:1912.05671, algorithm 1; successive levels arXiv:2210.03044. Differs from the papers: tickets part
    where they are rewound to, as there; training errors are those of `train_images` images.

    Attributes:
        grid: which of the grids.
        grids: by name.
        points: of a line, its ends included.
        train_images: first ones of the training part, on which training errors are measured and batch norms gather.
        controls: of tickets: "reinitialised", "random_mask", or both.
    """

    grid: str
    grids: dict[str, ConnectivityGrid]
    points: int
    train_images: int
    controls: list[str]

    def __post_init__(self) -> None:
        checks.choice("grid", self.grid, self.grids)
        checks.integer("points", self.points, at_least=3)
        checks.integer("train_images", self.train_images, at_least=1)
        for control in self.controls:
            checks.choice("controls", control, [name for name in CONTROLS if name != "none"])

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses anything but one method that prunes in rounds; see `Study.check`."""
        if len(methods) != 1 or not isinstance(next(iter(methods.values())), IterativeMagnitudePruning):
            raise ConfigError("this study follows one method that prunes round by round: give it method=imp alone")

    def amounts(self) -> Mapping[str, float]:
        """Pairs of trainings; see `Scales`."""
        grid = self.grids[self.grid]
        tickets = len(grid.levels) * (1 + len(self.controls)) * grid.orders + max(grid.levels, default=0)
        return {"trials": grid.trials, "trainings of a trial": len(grid.steps) * grid.orders + tickets}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """The barriers trial by trial, then table and figure."""
        data, network = problem.need("data", "network")
        self.check(methods)
        ((_, method),) = methods.items()
        assert isinstance(method, IterativeMagnitudePruning), "checked before"
        key = " ".join([repr(self), repr(method), repr(network), problem.device, data.fingerprint()])
        parts = [
            functools.partial(_trial, self, method, seeded, key)
            for seeded in trials_of(problem, self.grids[self.grid].trials)
        ]
        found = [point for points in side_by_side(parts, recorder, workers(problem.device)) for point in points]
        rows = _rows(found)
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary=summary(rows, "name", MEASURES),
            points=found,
            figures={"barriers": self._figure(method)},
        )

    def _figure(self, method: IterativeMagnitudePruning) -> Description:
        grid = self.grids[self.grid]
        common = {"y_scale": "percent", "y_limits": [0.0, None], "level": [STABLE, "stable below"]}
        caption = (
            f"{self.grid.capitalize()} grid: trainings of {grid.length}, {grid.orders} orders, trials: {grid.trials}; "
            f"tickets part at {method.rewind}. Lines are means, shaded from the least to the greatest."
        )
        panels = [
            {"x": "step", "x_label": "steps before the copies part", "x_scale": "linear", "curves": [DENSE]},
            {"x": "kept_fraction", "x_label": "weights kept (%)", "x_scale": "density", "without": [DENSE]},
        ]
        labels = {"barrier_test": "barrier, test error (points)", "barrier_train": "barrier, training error (points)"}
        return {
            "kind": "panels",
            "labels": {DENSE: "dense, by common steps", SUCCESSIVE: "level to next level"},
            "caption": caption,
            "panels": [{**panel, **common, "y": y, "y_label": labels[y]} for y in labels for panel in panels],
        }


def _trial(
    study: ModeConnectivity, method: IterativeMagnitudePruning, problem: Problem, key: str, recorder: Recorder
) -> list[Point]:
    points = Points(recorder, f"{key} {problem.streams.seed}")
    trial = _Trial(study, method, problem, recorder, points)
    return [point for part in (trial.dense(), trial.tickets()) for each in part for point in each]


class _Trial:
    """All pairs of one seed."""

    def __init__(
        self,
        study: ModeConnectivity,
        method: IterativeMagnitudePruning,
        problem: Problem,
        recorder: Recorder,
        points: Points,
    ) -> None:
        self.study, self.grid, self.seed = study, study.grids[study.grid], problem.streams.seed
        self.chain, self.points = Chain(method, problem, recorder, []), points
        self.trainings = self.chain.trainings
        inputs, labels = self.trainings.split.train
        count = slice(min(study.train_images, num_samples(inputs)))
        self.statistics = select(inputs, count)
        test = self.trainings.split.measured["test"]
        self.parts = {"train": (self.statistics, labels[count]), "test": test}

    def dense(self) -> Iterator[list[Point]]:
        """The dense network, by the steps before its copies part."""
        for step in self.grid.steps:
            at = Step.parse("steps", step)

            def find(work: Recorder, step: str = step, at: Step = at) -> list[Point]:
                whole, trainings = self.trainings.whole(), self.trainings
                state = trainings.state(trainings.module())
                if at.steps(trainings.steps_per_epoch):
                    state = trainings.train(f"dense, {step}", whole, stop=at, recorder=work).state
                return self._pairs(DENSE, step, whole, state, work, 1.0)

            yield self.points.get(f"seed {self.seed}, {DENSE}, {step}", find)

    def tickets(self) -> Iterator[list[Point]]:
        """Tickets and controls of the levels, and the line from each level to the next."""
        before: Level | None = None
        for level in self.chain.levels.upto(max(self.grid.levels, default=0)):
            if before is not None:
                yield self._successive(before, level)
            if level.number in self.grid.levels:
                for control in ("none", *self.study.controls) if level.number else ("none",):
                    yield self._ticket(level, control)
            before = level

    def _successive(self, before: Level, level: Level) -> list[Point]:
        def find(work: Recorder) -> list[Point]:
            found = self._lines(before.trained.state, level.trained.state, work)
            return [self._point(SUCCESSIVE, str(level.number), self.chain.start.step, level.density, 0, found)]

        return self.points.get(f"seed {self.seed}, level {before.number} to {level.number}", find)

    def _ticket(self, level: Level, control: str) -> list[Point]:
        def find(work: Recorder) -> list[Point]:
            masks, state = self.chain.begun(level, control)
            return self._pairs(CONTROLS[control], str(level.number), masks, state, work, level.density)

        return self.points.get(f"seed {self.seed}, {CONTROLS[control]}, level {level.number}", find)

    def _pairs(
        self, curve: str, name: str, masks: Masks, state: State, recorder: Recorder, density: float
    ) -> list[Point]:
        """All pairs of copies that begin at a state and see other orders."""
        ends = []
        for order in range(self.grid.orders):
            streams = Streams(self.trainings.streams.torch_seed("order", str(order)))
            label = f"{curve}, {name}, order {order}"
            ends.append(self.trainings.train(label, masks, state, streams=streams, recorder=recorder).state)
        pairs = [(i, k) for i in range(len(ends)) for k in range(i)]
        return [
            self._point(curve, name, state.step, density, number, self._lines(ends[i], ends[k], recorder))
            for number, (i, k) in enumerate(pairs)
        ]

    def _lines(self, first: State, second: State, recorder: Recorder) -> dict[str, Line]:
        if not (first.parameters and second.parameters):
            raise DataError("the weights of a level were not kept, and its results are gone: set rerun=true")
        one, two = ({**state.parameters, **state.buffers} for state in (first, second))
        module = self.trainings.module()
        return lines(module, one, two, self.parts, self.study.points, self.statistics, recorder.progress)

    def _point(self, curve: str, name: str, step: int, density: float, pair: int, found: Mapping[str, Line]) -> Point:
        point: Point = {"curve": curve, "axis": "kept_fraction", "seed": self.seed, "name": name, "pair": pair}
        point |= {"step": step, "kept_fraction": density}
        for part, line in found.items():
            point |= {f"barrier_{part}": line.barrier, f"error_{part}": line.ends}
        return point


def _rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Means over trials and pairs."""
    rows = []
    for curve, name in dict.fromkeys((point["curve"], point["name"]) for point in points):
        same = [point for point in points if (point["curve"], point["name"]) == (curve, name)]
        row = {measure: mean(same, measure) for measure in (*MEASURES, "kept_fraction", "step")}
        largest = max(point["barrier_test"] for point in same)
        rows.append({**row, "curve": curve, "name": name, "pairs": len(same), "barrier_test_high": largest})
    return rows
