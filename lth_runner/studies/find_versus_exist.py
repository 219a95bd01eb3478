"""Does a search find the ticket that is proved to be there? A construction and a search on the very same weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lth_runner.core import checks
from lth_runner.core.digest import checksum
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.measure.ticket import measure_target
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Point, Points, mean
from lth_runner.report.points import Description
from lth_runner.report.series import Series, numbers, series
from lth_runner.report.tables import TICKET_COLUMNS, Row, markdown, percent, spread
from lth_runner.search.score_search import ScoreSearch
from lth_runner.studies.trial import CURVES, Trial
from lth_runner.study import Outcome
from lth_runner.ticket.names import recipe

COLUMNS = (
    "curve", "n", "seed", "accuracy", "drawn", "kept", "used", "overlap", "overlap_chance", "overlap_sums",
    "overlap_sums_chance", "over_epsilon", "effective_correlation", "effective_difference",
)  # fmt: skip
HEADINGS = {
    "accuracy": "test accuracy",
    "kept": "weights kept",
    "used": "of these on a path",
    "overlap_sums": "constructed weights found too",
    "overlap_sums_chance": "by chance",
    "effective_correlation": "effective weights: correlation",
    "effective_difference": "effective weights: difference",
}


READING = """
All networks of one n and seed are the same random weights under different masks, every target layer two random layers:
a first one that splits each input over hidden neurons, and a second one that sums them. *Constructed*: every target
weight is the closest sum of products that a subset of them gives, solved exactly; *second closest*: each of these sums
replaced by the closest one of all other subsets, another constructed answer to the same question. *Found*: scores are
trained on the random weights, and those with the highest scores stay, as many as the construction keeps; with its first
layers given, only the subsets are left to find. *On a path*: weights kept that lie between an input and an output of
their pair of layers; the others do nothing. *Found too*: of the constructed ticket's weights in the second layers,
those that the other ticket keeps as well; *by chance*: if it kept as many at random (where the first layers are given,
as to the second closest: as many of those that a first weight leads to). *Effective weights*: what each pair of layers
multiplies an input with, compared with the constructed ticket's, which are the target's weights up to its errors; the
*difference* is relative, 0 for equal ones and 1.41 for unrelated ones, each layer scaled to the constructed one's size.
"""


@dataclass(frozen=True, kw_only=True)
class FindVersusExist:
    """On each random network: the constructed ticket, and tickets that keep as many weights, found by training scores.

    The curves, by name: "exists", the construction; "second", the same with the second closest subsets, so that it can
    be seen what two constructed tickets share; "all", a search that keeps as many weights in all; "layers", as many in
    every weight tensor; "sums", a search to which the constructed first weights of every doubled layer are given, so
    that only the subsets are left to find; "random", a random mask with as many weights in every tensor. A construction
    without a solver has no "second".

    Attributes:
        values: of n, the construction's.
        axis_label: what n is called in the figure.
        repeats: random networks per n, of the seeds from the run's own on; the target is the same for all.
        labels: of the curves, for people.
        epsilon: the construction's larger weight errors are counted.
    """

    values: list[int]
    axis_label: str
    repeats: int
    labels: dict[str, str]
    epsilon: float

    def __post_init__(self) -> None:
        checks.listed("study.values", self.values)
        for n in self.values:
            checks.integer("study.values", n, at_least=1)
        checks.integer("study.repeats", self.repeats, at_least=1)
        checks.positive("study.epsilon", self.epsilon)
        if not self.values:
            raise ConfigError("study.values is empty: give the values of n, as in study.values=[8,16]")
        if self.labels.keys() != CURVES.keys():
            raise ConfigError(f"study.labels must name {', '.join(CURVES)}, got {', '.join(self.labels)}")

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses other methods than a construction and a search; see `Study.check`."""
        _search(methods)
        construction: Any = methods["exists"]
        for n in self.values:
            replace(construction, n=n)

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """The construction at every n, and the search; see `Tries`."""
        construction: Any = methods["exists"]
        yield from ((replace(construction, n=n), network) for n in self.values)
        yield methods["search"], network

    def amounts(self) -> Mapping[str, float]:
        """Random networks per n; see `Scales`."""
        return {"repeats": self.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """The points, seed by seed so that all curves grow together, then table and figure."""
        search = _checked(problem, methods)
        points = self._points(problem, methods["exists"], search, recorder)
        target = measure_target(problem)
        curves = {value: series(points, "n", value) for value in HEADINGS}
        caption = self._caption(search)
        summary = {key: number for value in curves for key, number in numbers(curves[value], value).items()}
        return Outcome(
            rows=[{**target, "network": "target"}, *self._rows(points, target["weights"])],
            summary={**summary, "target/accuracy": target["accuracy"], "repeats": self.repeats},
            points=[{column: point.get(column) for column in COLUMNS} for point in points],
            figures={"find_versus_exist": self._figure(target["accuracy"], caption)},
            texts={"find_versus_exist.md": self._table(points, curves, target["accuracy"], caption)},
        )

    def _points(self, problem: Problem, construction: Any, search: ScoreSearch, recorder: Recorder) -> list[Point]:
        data, target = problem.need("data", "target")
        parts = [repr(part) for part in (self, construction, search, problem.network)]
        kept = Points(recorder, " ".join([*parts, data.fingerprint(), checksum(target)]))
        points: list[Point] = []
        for seed in range(problem.streams.seed, problem.streams.seed + self.repeats):
            for n in self.values:
                seeded = replace(problem, streams=Streams(seed))
                trial = Trial(replace(construction, n=n), search, seeded, self.epsilon, recorder)
                for curve, label in self.labels.items():
                    if curve == "second" and "solver" not in recipe(construction):
                        continue

                    def find(work: Recorder, trial: Trial = trial, curve: str = curve, n: int = n) -> list[Point]:
                        return [{**trial.point(curve, work), "n": n}]

                    new = kept.get(f"n = {n}, seed {seed}, {label}", find)
                    recorder.say(f"n = {n}, seed {seed}, {label}: accuracy {percent(new[0]['accuracy'])}")
                    points += new
        return points

    def _curves(self, points: Sequence[Point]) -> dict[str, str]:
        """The labels of the curves that have points."""
        found = {point["curve"] for point in points}
        return {curve: label for curve, label in self.labels.items() if curve in found}

    def _caption(self, search: ScoreSearch) -> str:
        networks = f"{self.repeats} random networks per n, mean and range" if self.repeats > 1 else "one random network"
        return f"{networks}; scores trained for {search.epochs} epochs; on the right, weights of the summing layers"

    def _figure(self, target_accuracy: float, caption: str) -> Description:
        return {
            "kind": "overlap",
            "axis": "n",
            "axis_label": self.axis_label,
            "caption": caption,
            "target_accuracy": target_accuracy,
            "labels": self.labels,
        }

    def _rows(self, points: Sequence[Point], weights: int) -> list[Row]:
        """Means over the seeds, one row per n and curve; counts are multiples of the target's weights."""
        rows = []
        for n in self.values:
            for curve, label in self._curves(points).items():
                same = [point for point in points if point["curve"] == curve and point["n"] == n]
                known = [column for column in TICKET_COLUMNS if same[0].get(column) is not None]
                found: dict[str, Any] = {column: mean(same, column) for column in known}
                found |= {"network": f"n = {n}, {label}"}
                found |= {"offered_ratio": mean(same, "drawn") / weights, "kept_ratio": mean(same, "kept") / weights}
                if "over_epsilon" in found:
                    found["over_epsilon"] = round(found["over_epsilon"])
                rows.append(found)
        return rows

    def _table(
        self, points: Sequence[Point], curves: Mapping[str, Mapping[str, Series]], target: float, caption: str
    ) -> str:
        """One line per n and curve, all that was counted."""
        lines = []
        for i, n in enumerate(sorted(self.values)):
            offered = next(point["offered"] for point in points if point["n"] == n)
            for curve, label in self._curves(points).items():
                cells = [_cell(value, curves[value].get(curve), i) for value in HEADINGS]
                lines.append([label, f"{n}", f"{offered:,}", *cells])
        headings = ["network", "n", "random weights", *HEADINGS.values()]
        start = f"{caption[0].upper()}{caption[1:].partition(';')[0]}"
        return f"Target network, trained: {percent(target)}. {start}.\n\n{markdown(headings, lines)}{READING}"


def _checked(problem: Problem, methods: Mapping[str, Method]) -> ScoreSearch:
    """The search.

    Raises:
        ConfigError: the study cannot be made of these parts.
    """
    if problem.target is None or problem.data is None or problem.network is None:
        raise ConfigError("this study rebuilds a target and measures accuracies: add target=trained data=mnist")
    if any(len(shape) == 1 for shape in parameter_shapes(problem.network).values()):
        raise ConfigError("this study searches networks without biases: set network.biases=false")
    return _search(methods)


def _search(methods: Mapping[str, Method]) -> ScoreSearch:
    search = methods.get("search")
    if methods.keys() != {"exists", "search"} or not isinstance(search, ScoreSearch):
        raise ConfigError(
            "this study compares two methods, compare.exists (pensia) and compare.search (one that trains scores, as "
            f"edge_popup): got {', '.join(methods) or 'none'}"
        )
    if not search.subset:
        raise ConfigError(
            "this study compares subsets of the random weights, and compare.search makes more of them: take "
            "edge_popup, biprop or gem_miner"
        )
    if search.frozen:
        raise ConfigError("compare.search.frozen has no meaning here, where all weights are random: leave it empty")
    if "n" not in recipe(methods["exists"]):
        raise ConfigError("compare.exists has no n to vary: set it to method pensia")
    return search


def _cell(value: str, curve: Series | None, i: int) -> str:
    """One number of a table, with its range where seeds differ; empty where a curve has no such number."""
    if curve is None:
        return ""
    mean, low, high = (float(column[i]) for column in (curve.mean, curve.low, curve.high))
    if value in ("kept", "used"):
        return f"{mean:,.0f}"
    if value.startswith("effective"):
        return f"{mean:.3f}"
    return spread(mean, low, high)
