"""Settings chosen on held-out training images: the same tries for every method, and the best one of each."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.measure.ticket import network_accuracy
from lth_runner.networks.interface import num_parameters
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Point, Points
from lth_runner.report.tables import TICKET_COLUMNS, Column, Row, markdown, percent
from lth_runner.studies.changed import changed
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.names import recipe
from lth_runner.ticket.ticket import Ticket
from lth_runner.training.split import split

JUDGED_BY = "validation_accuracy_last"  # a fact of tickets that a search found; see `ScoreSearch`

READING = """
Accuracies on training images that were held out, after the last epoch; the best try of each row is bold. No test image
had a say.
"""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Every method is tried with all combinations of the values; its best has the highest validation accuracy.

    Of equals the first one is the best. Test images play no part. Methods that train hold out images themselves; for
    others the study does, and keeps them from the methods: only the target may have seen them.

    Attributes:
        settings: values to try, by the name of a setting that every method has; of a part's, "levels.bits".
        validation: training images that the study holds out; 0: the methods do.
        most_kept: tries that keep more numbers than this for each target weight are never the best; None: all may be.
        labels: what the table calls the methods, where that differs from their names.
    """

    settings: dict[str, list[Any]]
    validation: int
    most_kept: float | None
    labels: dict[str, str]

    def __post_init__(self) -> None:
        if not self.settings:
            raise ConfigError("study.settings is empty: name what to try, as study.settings={learning_rate: [0.1, 1]}")
        for name, values in self.settings.items():
            checks.listed(f"study.settings.{name}", values)
            if not values:
                raise ConfigError(f"study.settings.{name} is empty: give the values to try")
        checks.integer("study.validation", self.validation, at_least=0)
        if self.most_kept is not None:
            checks.positive("study.most_kept", self.most_kept)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses methods that lack a setting, refuse a value, or hold out no images; see `Study.check`."""
        if not methods:
            raise ConfigError("no method was chosen: add method=edge_popup, or compare several in an experiment")
        for name, method in methods.items():
            known = recipe(method)
            for setting in (*self.settings, *(() if self.validation else ("validation",))):
                if setting.partition(".")[0] not in known:
                    raise ConfigError(f"{name} has no {setting}: leave it out of compare, or of study.settings")
            if not self.validation and not known["validation"]:
                raise ConfigError(f"{name} holds out no images to be judged by: set compare.{name}.validation=5000")
            for values in self._tries():
                changed(method, values)

    def amounts(self) -> Mapping[str, float]:
        """How many values each setting has; see `Scales`."""
        return {name: len(values) for name, values in self.settings.items()}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """All tries, method by method, as a row each; the best ones in the summary."""
        (data,) = problem.need("data")
        self.check(methods)
        problem = self._without_held_out(problem)
        parts = [repr(part) for part in (self, dict(methods), problem.network, problem.device, problem.streams.seed)]
        kept = Points(recorder, " ".join([*parts, data.fingerprint()]))
        rows: list[Row] = []
        summary: dict[str, Any] = {}
        for name, method in methods.items():
            found = [self._tried(name, method, values, problem, kept, recorder) for values in self._tries()]
            most = math.inf if self.most_kept is None else self.most_kept
            allowed = [point for point in found if point[self._kept] <= most]
            best = max(allowed, key=lambda point: point[JUDGED_BY], default={})  # the first of equals
            rows += [{**point, "network": self.labels.get(name, name), "best": point is best} for point in found]
            summary |= {f"{name}/{key}": value for key, value in best.items() if key != "method"}
        return Outcome(
            rows=[{**row, "best": "best" if row["best"] else None} for row in rows],
            columns=self._columns(),
            summary=summary,
            texts={"tuning.md": self._table(rows)},
        )

    def _tries(self) -> list[dict[str, Any]]:
        return [dict(zip(self.settings, values, strict=True)) for values in itertools.product(*self.settings.values())]

    def _tried(
        self, name: str, method: Any, values: Mapping[str, Any], problem: Problem, kept: Points, recorder: Recorder
    ) -> Point:
        label = f"{self.labels.get(name, name)}, {_text(values)}"

        def find(work: Recorder) -> list[Point]:
            ticket = changed(method, values).find(problem, work).ticket
            return [{"method": name, **values, **self._judged(ticket, problem)}]

        (point,) = kept.get(label, find)
        recorder.say(f"{label}: validation accuracy {percent(point[JUDGED_BY])}")
        return point

    def _without_held_out(self, problem: Problem) -> Problem:
        """The problem whose test images are the training images held out, if the study holds out any."""
        (data,) = problem.need("data")
        if not self.validation:
            return problem
        parts = split(data, self.validation, problem.streams, "tuning")
        (train, train_labels), (held, labels) = parts.train, parts.measured["validation"]
        images = {"train_inputs": train, "train_labels": train_labels, "test_inputs": held, "test_labels": labels}
        return replace(problem, data=replace(data, **images, recipe=None))

    def _judged(self, ticket: Ticket, problem: Problem) -> dict[str, Any]:
        if not self.validation:
            return {JUDGED_BY: ticket.facts[JUDGED_BY], self._kept: ticket.kept() / ticket.offered()}
        network, data = problem.need("network", "data")
        accuracy = network_accuracy(materialise(ticket).module(), data)
        return {JUDGED_BY: accuracy, self._kept: ticket.kept() / num_parameters(network)}

    @property
    def _kept(self) -> str:
        return "kept_ratio" if self.validation else "kept_fraction"

    def _columns(self) -> dict[str, Column]:
        return {
            "network": Column("method", "text"),
            **{name: Column(name, "number") for name in self.settings},
            JUDGED_BY: Column("validation accuracy", "percent"),
            self._kept: TICKET_COLUMNS["kept_ratio"] if self.validation else Column("weights kept", "percent"),
            "best": Column("of its tries", "text"),
        }

    def _table(self, rows: Sequence[Row]) -> str:
        """One line per method, a column per try."""
        tries = len(self._tries())
        lines = [
            [str(of_one[0]["network"]), *(_cell(row) for row in of_one)]
            for of_one in (rows[start : start + tries] for start in range(0, len(rows), tries))
        ]
        return markdown(["method", *(_text(values) for values in self._tries())], lines) + READING


def _text(values: Mapping[str, Any]) -> str:
    plain = {name: f"{value:g}" if isinstance(value, float | int) else str(value) for name, value in values.items()}
    return ", ".join(f"{name} {value}" for name, value in plain.items())


def _cell(row: Row) -> str:
    return f"**{percent(row[JUDGED_BY])}**" if row["best"] else percent(row[JUDGED_BY])
