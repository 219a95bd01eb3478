"""Winning tickets level by level, beside the same masks with a new start, and beside random masks."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.measure.claims import claimed
from lth_runner.measure.layer_use import told_layer_uses
from lth_runner.measure.ticket import measure_ticket
from lth_runner.problem import Found, Method, Problem
from lth_runner.prune.imp import Chain, IterativeMagnitudePruning
from lth_runner.prune.levels import Level
from lth_runner.record.points import Point, Points, mean, summary
from lth_runner.report.points import Description
from lth_runner.report.tables import Column
from lth_runner.studies.side_by_side import side_by_side, trials_of, workers
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.ticket import Ticket

COLUMNS = {
    "label": Column("networks", "text"),
    "level": Column("rounds", "count"),
    "kept_fraction": Column("weights kept", "percent"),
    "trials": Column("trained", "count"),
    "early_stop_step": Column("step of least validation loss", "count"),
    "early_stop_accuracy": Column("test accuracy there", "percent"),
    "accuracy": Column("test accuracy at the end", "percent"),
    "accuracy_low": Column("least", "percent"),
    "accuracy_high": Column("greatest", "percent"),
}
MEASURES = ("early_stop_step", "early_stop_accuracy", "accuracy")
PANELS = (
    ("early_stop_step", "step of least validation loss", "linear"),
    ("early_stop_accuracy", "test accuracy at that step (%)", "percent"),
    ("accuracy", "test accuracy at the end (%)", "percent"),
)


@dataclass(frozen=True, kw_only=True)
class LevelGrid:
    """What is trained.

    Attributes:
        levels: rounds of pruning.
        trials: seeds, counted from the run's own.
        reinitialised: levels whose masks are trained from a new start too.
        starts: new starts of each.
        random: levels beside which random masks of the same layer densities are trained, from the first start.
        length: of every training, as a `Step`; experiments hand it on to their methods.
    """

    levels: int
    trials: int
    reinitialised: list[int]
    starts: int
    random: list[int]
    length: str

    def __post_init__(self) -> None:
        for name in ("levels", "trials", "starts"):
            checks.integer(name, getattr(self, name), at_least=1)
        for name in ("reinitialised", "random"):
            checks.listed(name, getattr(self, name))
            for level in getattr(self, name):
                checks.integer(name, level, at_least=1)
                if level > self.levels:
                    raise ConfigError(f"{name}={level} is beyond the last of {self.levels} levels: set levels higher")

    def controls(self, level: int) -> Iterator[tuple[str, str]]:
        """What is trained of a level: control, and which chance."""
        yield "none", "0"
        if level in self.reinitialised:
            yield from (("reinitialised", str(start)) for start in range(self.starts))
        if level in self.random:
            yield "random_mask", "0"


@dataclass(frozen=True, kw_only=True)
class WinningTickets:
    """The study of Frankle and Carbin: when tickets of every level stop early, and how accurate they are.

    The step of the least validation loss is found afterwards, among those that were measured.

    Reference: arXiv:1803.03635, section 2. Differs from the paper: the seeds; see the experiment for its settings.

    Attributes:
        grid: which of the grids.
        grids: by name.
        labels: what the figure calls the curves; "NAME, reinitialised" and "NAME, random_mask" of a method NAME.
    """

    grid: str
    grids: dict[str, LevelGrid]
    labels: dict[str, str]

    def __post_init__(self) -> None:
        checks.choice("grid", self.grid, self.grids)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses methods that prune in no rounds; see `Study.check`."""
        for name, method in methods.items():
            if not isinstance(method, IterativeMagnitudePruning):
                raise ConfigError(f"{name} does not prune round by round: this study takes method=imp")

    def amounts(self) -> Mapping[str, float]:
        """Trainings; see `Scales`."""
        grid = self.grids[self.grid]
        controls = sum(len(list(grid.controls(level))) for level in range(grid.levels + 1))
        return {"trials": grid.trials, "networks of a trial": controls}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """The levels trial by trial, then table and figure."""
        data, network = problem.need("data", "network")
        self.check(methods)
        key = " ".join([repr(self), repr(dict(methods)), repr(network), problem.device, data.fingerprint()])
        parts = [
            functools.partial(self.trial, name, method, seeded, key)
            for seeded in trials_of(problem, self.grids[self.grid].trials)
            for name, method in methods.items()
        ]
        trials = side_by_side(parts, recorder, workers(problem.device))
        found = [point for points, _ in trials for point in points]
        tickets = {name: ticket for name, (_, ticket) in zip(methods, trials, strict=False)}  # of the first seed
        rows = self._rows(found)
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary=summary(rows, "level", MEASURES),
            points=found,
            figures={"levels": self._figure()},
            tickets=tickets,
        )

    def trial(
        self, name: str, method: Method, problem: Problem, key: str, recorder: Recorder
    ) -> tuple[list[Point], Ticket]:
        """The points of one seed and one method, and the ticket of its last level."""
        assert isinstance(method, IterativeMagnitudePruning), "checked before"
        last, found = self.grids[self.grid].levels, []
        points = Points(recorder, f"{key} {name} {problem.streams.seed}")
        chain = Chain(method, problem, recorder, [])
        for level in chain.levels.upto(last):
            found += self._level(name, chain, level, problem, points)
            if level.number == last:
                return found, _claimed(chain.controlled(level, "none").ticket, method, problem)
        raise AssertionError("a chain has the level that is asked for")

    def _level(self, name: str, chain: Chain, level: Level, problem: Problem, points: Points) -> list[Point]:
        found: list[Point] = []
        for control, which in self.grids[self.grid].controls(level.number):
            curve = name if control == "none" else f"{name}, {control}"
            label = f"{self.labels.get(curve, curve)}, seed {problem.streams.seed}, level {level.number}, {which}"

            def find(work: Recorder, curve: str = curve, control: str = control, which: str = which) -> list[Point]:
                ticket = chain.controlled(level, control, which, work)
                return [_measured(curve, ticket, level, problem, work)]

            found += points.get(label, find)
        return found

    def _rows(self, points: Sequence[Point]) -> list[dict[str, Any]]:
        """Means over all networks of a curve and a level."""
        rows = []
        for curve, level in dict.fromkeys((point["curve"], point["level"]) for point in points):
            same = [point for point in points if (point["curve"], point["level"]) == (curve, level)]
            ends = [point["accuracy"] for point in same]
            row = {measure: mean(same, measure) for measure in (*MEASURES, "kept_fraction")}
            row |= {"curve": curve, "level": level, "label": self.labels.get(curve, curve), "trials": len(same)}
            rows.append({**row, "accuracy_low": min(ends), "accuracy_high": max(ends)})
        return rows

    def _figure(self) -> Description:
        grid = self.grids[self.grid]
        counts = f"trials: {grid.trials}, new starts: {grid.starts}"
        about = f"{self.grid.capitalize()} grid: trainings of {grid.length}, {counts}"
        return {
            "kind": "panels",
            "labels": self.labels,
            "caption": f"{about}; lines are means, shaded from the least to the greatest.",
            "panels": [
                {
                    "x": "kept_fraction", "x_label": "weights kept (%)", "x_scale": "density",
                    "y": measure, "y_label": label, "y_scale": scale, "y_limits": [None, None], "level": None,
                }
                for measure, label, scale in PANELS
            ],
        }  # fmt: skip


def _measured(curve: str, found: Found, level: Level, problem: Problem, recorder: Recorder) -> Point:
    network = materialise(found.ticket)
    measured = measure_ticket(network, problem, epsilon=1.0, outputs=False, approximates=False)
    told_layer_uses(f"level {level.number}", network, problem.data, recorder.say)
    facts = found.ticket.facts
    if "early_stop_step" not in facts:
        raise ConfigError("this study looks for the least validation loss: set method.validation to 1 or more")
    return {
        "curve": curve,
        "axis": "kept_fraction",
        "seed": problem.streams.seed,
        "level": level.number,
        "kept": measured["kept"],
        "kept_fraction": measured["kept"] / measured["offered"],
        "early_stop_step": facts["early_stop_step"],
        "early_stop_accuracy": facts["early_stop_accuracy"],
        "accuracy": measured["accuracy"],
        "steps": facts["steps"],
    }


def _claimed(ticket: Ticket, method: Method, problem: Problem) -> Ticket:
    measured = measure_ticket(materialise(ticket), problem, epsilon=1.0, outputs=False, approximates=False)
    return claimed(ticket, measured, method, problem, epsilon=1.0)
