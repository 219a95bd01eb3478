"""What a weight costs in bits, method by method: error, outputs and accuracy against bits, on one target."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.digest import checksum
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.rate_distortion import entropy_coded_exact, random_codebook, shannon
from lth_runner.measure.approximation import relative_error
from lth_runner.measure.bits import bits
from lth_runner.measure.claims import claimed
from lth_runner.measure.ticket import measure_target, measure_ticket
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Point, Points
from lth_runner.report.points import Description
from lth_runner.report.tables import Column
from lth_runner.studies.changed import Changes, changed
from lth_runner.study import Outcome, flat
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import approximated_by, materialise
from lth_runner.ticket.names import foreign, recipe
from lth_runner.ticket.ticket import Ticket

COLUMNS = {
    "network": Column("network", "text"),
    "settings": Column("settings", "text", optional=True),
    "bits_per_weight": Column("bits per weight", "number"),
    "bits_per_weight_coded": Column("coded", "number"),
    "network_bits_per_weight_coded": Column("whole network, coded", "number"),
    "ticket_bytes": Column("bytes of ticket", "count", optional=True),
    "relative_error": Column("relative weight error", "number"),
    "output_cosine_mean": Column("mean cosine of outputs", "number"),
    "output_cosine_min": Column("least cosine", "number"),
    "kl_softmax_mean": Column("KL divergence", "error"),
    "agreement": Column("same largest output", "percent"),
    "accuracy": Column("test accuracy", "percent", optional=True),
    "solve_time_s": Column("solve time", "seconds"),
}
PANELS = (  # column, label, scale, and what the column is subtracted from
    ("relative_error", "relative weight error", "log", None),
    ("output_cosine_mean", "1 - mean cosine of outputs", "log", 1.0),
    ("kl_softmax_mean", "KL divergence of outputs (nats)", "log", None),
    ("accuracy", "test accuracy (%)", "percent", None),
)
SHANNON, GRID, CODEBOOK = "Shannon's bound", "entropy-coded grid", "random codebook, {} weights"
MOST = 11  # bits for which laws are drawn
FAR = 0.012  # below the target's accuracy, of which the figure shows no more
SAVED = 0.02  # share of the bits that coding must save for a curve of its own


@dataclass(frozen=True, kw_only=True)
class BitsPerWeight:
    """A ticket per method and setting: its bits per weight, raw and entropy-coded, beside what is lost.

    Attributes:
        settings: by method, changes of its settings, one ticket for each; a method that is not named has one ticket.
        labels: what the figure calls the methods, where that differs from the name.
        codebooks: weights of a block, for which the law of random codebooks is drawn.
        shown: least and most bits that the figure shows.
        epsilon: weights with a larger error are counted in claims.
    """

    settings: dict[str, list[dict[str, Any]]]
    labels: dict[str, str]
    codebooks: list[int]
    shown: list[float]
    epsilon: float

    def __post_init__(self) -> None:
        checks.positive("epsilon", self.epsilon)
        checks.listed("study.codebooks", self.codebooks)
        checks.listed("study.shown", self.shown)
        if len(self.shown) != 2 or not 0 <= self.shown[0] < self.shown[1] <= MOST:
            raise ConfigError(f"study.shown must be two numbers of bits between 0 and {MOST}, got {self.shown}")
        for size in self.codebooks:
            checks.integer("study.codebooks", size, at_least=1)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses methods that approximate nothing, and settings that a method refuses; see `Study.check`."""
        for name in self.settings:
            checks.choice("study.settings", name, methods)
        for name, method in methods.items():
            if not method.needs_target:
                raise ConfigError(f"{name} approximates no target, so its bits stand for no weights: leave it out")
        for _ in self.varied(methods):
            pass

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """Every method at every setting; see `Tries`."""
        yield from ((method, network) for _, _, method in self.varied(methods))

    def varied(self, methods: Mapping[str, Method]) -> Iterator[tuple[str, Changes, Method]]:
        """A method's name, the changes of its settings, and the method that has them."""
        for name, method in methods.items():
            for changes in self.settings.get(name, [{}]):
                yield name, changes, changed(method, changes)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """A row and a ticket for every method and setting; a run that is killed goes on after the last of them."""
        self.check(methods)
        problem.need("target")
        kept = Points(recorder, self._key(problem, methods))
        rows: list[dict[str, Any]] = [{"network": "target", **measure_target(problem), "relative_error": 0.0}]
        tickets: dict[str, Ticket] = {}
        for number, (name, changes, method) in enumerate(self.varied(methods)):
            key = f"{name}_{number}"
            settings = ", ".join(f"{setting}={value}" for setting, value in changes.items())
            file = recorder.checkpoint(f"ticket-{key}")

            def find(work: Recorder, method: Method = method, file: Path = file) -> list[Point]:
                row, ticket = self._measured(method, problem, work)
                save_ticket(ticket, file)
                return [row]

            (row,) = kept.get(key, find)
            tickets[key] = read_ticket(file, trust=foreign([recipe(problem.network), recipe(method)]))
            rows.append({"network": key, "curve": name, "settings": settings, **row})
            recorder.say(_line(f"{name} {settings}".strip(), row))
        points = [*_measured_points(rows[1:]), *self._law_points()]
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary={key: value for row in rows for key, value in flat(row["network"], _numbers(row)).items()},
            points=points,
            figures={"bits": self._figure(points, rows[0]["accuracy"])},
            tickets=tickets,
        )

    def _key(self, problem: Problem, methods: Mapping[str, Method]) -> str:
        """What determines the rows."""
        data = None if problem.data is None else problem.data.fingerprint()
        parts = (self, dict(methods), problem.network, problem.device, problem.streams.seed, data)
        return " ".join([*(repr(part) for part in parts), checksum(_target(problem))])

    def _measured(self, method: Method, problem: Problem, recorder: Recorder) -> tuple[dict[str, Any], Ticket]:
        found = method.find(problem, recorder)
        network = materialise(found.ticket, bars=recorder.progress)
        row = measure_ticket(network, problem, self.epsilon, outputs=True, approximates=True) | dict(found.times)
        row |= bits(found.ticket)
        row["relative_error"] = relative_error(network.approximated, approximated_by(found.ticket, _target(problem)))
        return row, claimed(found.ticket, row, method, problem, self.epsilon)

    def _law_points(self) -> list[Point]:
        """Relative errors of the laws over the range of bits that is shown."""
        rates = np.linspace(max(0.5, self.shown[0]), self.shown[1], 40)
        laws = {SHANNON: shannon(rates), GRID: np.array([entropy_coded_exact(float(rate)) for rate in rates])}
        laws |= {CODEBOOK.format(size): random_codebook(rates, size) for size in self.codebooks}
        return [
            {"curve": name, "bits": float(rate), "relative_error": float(np.sqrt(error))}
            for name, errors in laws.items()
            for rate, error in zip(rates, errors, strict=True)
        ]

    def _figure(self, points: Sequence[Point], accuracy: float | None) -> Description:
        shown = [panel for panel in PANELS if any(point.get(panel[0]) is not None for point in points)]
        return {
            "kind": "rates",
            "labels": self.labels,
            "laws": [SHANNON, GRID, *(CODEBOOK.format(size) for size in self.codebooks)],
            "x_limits": self.shown,
            "caption": (
                "Bits per approximated weight, all counted. Dashed and hollow: the same tickets, masks and indices "
                "entropy-coded. Laws are those of normal weights chosen without data. Of accuracies the best are shown."
            ),
            "panels": [
                {
                    "y": measure, "y_label": label, "y_scale": scale, "less_from": less_from,
                    **(_beside(accuracy) if measure == "accuracy" and accuracy is not None else {"level": None}),
                }
                for measure, label, scale, less_from in shown
            ],
        }  # fmt: skip


def _beside(accuracy: float) -> Description:
    """How a panel shows accuracies: the target's as a line, and what is not far from it."""
    return {"level": [accuracy, "target"], "y_limits": [accuracy - FAR, accuracy + FAR / 8]}


def _target(problem: Problem) -> dict[str, np.ndarray]:
    (target,) = problem.need("target")
    return target


def _measured_points(rows: Sequence[Mapping[str, Any]]) -> list[Point]:
    """At the raw bits, and at those of coded masks and indices where that saves some."""
    found = []
    for row in rows:
        measures = {measure: row.get(measure) for measure, *_ in PANELS}
        found.append({"curve": row["curve"], "bits": row["bits_per_weight"], "settings": row["settings"], **measures})
        if row["bits_per_weight_coded"] < (1 - SAVED) * row["bits_per_weight"]:
            curve = {"curve": f"{row['curve']}, coded", "bits": row["bits_per_weight_coded"]}
            found.append({**curve, "settings": row["settings"], **measures})
    return found


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if isinstance(value, int | float)}


def _line(name: str, row: Mapping[str, Any]) -> str:
    cost = f"{row['bits_per_weight']:.3f} bits per weight, {row['bits_per_weight_coded']:.3f} coded"
    cosine = row.get("output_cosine_mean")
    outputs = "" if cosine is None else f", cosine of outputs {cosine:.4f}"
    accuracy = "" if row["accuracy"] is None else f", accuracy {100 * row['accuracy']:.2f} %"
    return f"{name}: {cost}, relative error {row['relative_error']:.4f}{outputs}{accuracy}"
