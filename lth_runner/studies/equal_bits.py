"""Searches beside each other, each with what its tickets cost in bits: accuracy over seeds, network by network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.measure.bits import bits
from lth_runner.measure.ticket import network_accuracy
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Point, Points, mean
from lth_runner.report.points import Description
from lth_runner.report.tables import Column, Row, markdown, percent, spread
from lth_runner.study import Outcome, flat
from lth_runner.ticket.materialise import materialise

COSTS = ("bits_per_weight", "bits_per_weight_coded")
COLUMNS = {
    "network": Column("network", "text"),
    "method": Column("method", "text"),
    "bits_per_weight": Column("bits per weight", "number"),
    "bits_per_weight_coded": Column("coded", "number"),
    "accuracy": Column("test accuracy", "percent"),
    "lowest": Column("lowest", "percent"),
    "highest": Column("highest", "percent"),
    "repeats": Column("seeds", "count"),
}


@dataclass(frozen=True, kw_only=True)
class EqualBits:
    """Every method on every network, over several seeds; that bits are about equal is up to the methods' settings.

    Attributes:
        networks: by the name that the table has for them; None: the run's. Without any it is the run's alone.
        repeats: seeds, counted from the run's own.
        labels: what the table calls the methods, where that differs from their names.
    """

    networks: dict[str, Architecture | None]
    repeats: int
    labels: dict[str, str]

    def __post_init__(self) -> None:
        checks.integer("study.repeats", self.repeats, at_least=1)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses labels of no method, and no methods at all; see `Study.check`."""
        if not methods:
            raise ConfigError("no method was chosen: add method=edge_popup, or compare several in an experiment")
        for name in self.labels:
            checks.choice("study.labels", name, methods)

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """Every method on every network; see `Tries`."""
        for own in self._networks.values():
            yield from ((method, own or network) for method in methods.values())

    def amounts(self) -> Mapping[str, float]:
        """Networks and seeds; see `Scales`."""
        return {"networks": len(self._networks), "repeats": self.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Seed by seed, so that all rows grow together; a run that is killed goes on after the last ticket."""
        (data,) = problem.need("data")
        self.check(methods)
        parts = [repr(part) for part in (self, dict(methods), problem.network, problem.device, problem.streams.seed)]
        kept = Points(recorder, " ".join([*parts, data.fingerprint()]))
        points: list[Point] = []
        for seed in range(problem.streams.seed, problem.streams.seed + self.repeats):
            for network, own in self._networks.items():
                seeded = replace(problem, network=own or problem.network, streams=Streams(seed))
                points += [self._point(network, name, methods[name], seeded, kept, recorder) for name in methods]
        rows = [self._row(network, name, points) for network in self._networks for name in methods]
        keys = (*COSTS, "accuracy", "lowest", "highest", "kept_fraction")
        summary = {
            key: value
            for row in rows
            for key, value in flat(f"{row['network']}/{row['method']}", {key: row[key] for key in keys}).items()
        }
        return Outcome(
            rows=[{**row, "method": self._label(row["method"])} for row in rows],
            columns=COLUMNS,
            summary=summary,
            points=points,
            figures={"equal_bits": self._figure()},
            texts={"equal_bits.md": self._table(rows)},
        )

    def _point(
        self, network: str, name: str, method: Method, problem: Problem, kept: Points, recorder: Recorder
    ) -> Point:
        label = f"{self._label(name)}, {network}, seed {problem.streams.seed}"
        (point,) = kept.get(
            label, lambda work: [{"curve": name, "network": network, **_measured(method, problem, work)}]
        )
        costs = ", ".join(f"{point[cost]:.3f}" for cost in COSTS)
        recorder.say(f"{label}: accuracy {percent(point['accuracy'])}, {costs} bits a weight")
        return point

    def _row(self, network: str, name: str, points: Sequence[Point]) -> Row:
        same = [point for point in points if point["curve"] == name and point["network"] == network]
        accuracies = [point["accuracy"] for point in same]
        means = {key: mean(same, key) for key in (*COSTS, "accuracy", "kept_fraction")}
        spans = {"lowest": min(accuracies), "highest": max(accuracies), "repeats": len(same)}
        return {"network": network, "method": name, **means, **spans}

    def _figure(self) -> Description:
        seeds = f"means over {self.repeats} seeds, lowest to highest shaded" if self.repeats > 1 else "one seed"
        return {
            "kind": "dots",
            "networks": list(self._networks),
            "labels": self.labels,
            "note": COSTS[-1],
            "note_label": "bits a weight",
            "caption": f"Pruned random networks; {seeds}; beside them bits a weight, entropy-coded.",
        }

    @property
    def _networks(self) -> dict[str, Architecture | None]:
        return self.networks or {"network": None}

    def _label(self, name: str) -> str:
        return self.labels.get(name, name)

    def _table(self, rows: Sequence[Row]) -> str:
        """One line per method; for each network its bits as they are, entropy-coded, and the accuracy."""
        headings, lines = ["method"], {}
        for network in self._networks:
            headings += [f"{network}: bits a weight", "coded", "test accuracy, %"]
        for row in rows:
            cells = [f"{row[cost]:.3f}" for cost in COSTS] + [spread(row["accuracy"], row["lowest"], row["highest"])]
            lines.setdefault(self._label(row["method"]), []).extend(cells)
        seeds = f"Means over {self.repeats} seeds, lowest and highest in brackets.\n"
        return markdown(headings, [[name, *cells] for name, cells in lines.items()]) + "\n" + seeds


def _measured(method: Method, problem: Problem, recorder: Recorder) -> dict[str, Any]:
    (data,) = problem.need("data")
    ticket = method.find(problem, recorder).ticket
    accuracy = network_accuracy(materialise(ticket).module(), data)
    found = bits(ticket)
    return {
        "seed": problem.streams.seed,
        "accuracy": accuracy,
        "kept_fraction": ticket.kept() / ticket.offered(),
        **{cost: found[cost] for cost in COSTS},
    }
