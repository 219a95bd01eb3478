"""Accuracy against the fraction of weights kept: several networks, or several methods on one, over several seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from lth_runner.core import checks
from lth_runner.core.digest import checksum
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.measure.layer_use import cut_off, told_layer_uses
from lth_runner.measure.ticket import measure_target, measure_ticket
from lth_runner.networks.interface import Architecture
from lth_runner.problem import FindsEach, Method, Problem
from lth_runner.record.points import Point, Points, mean
from lth_runner.report.points import Description
from lth_runner.report.series import Series, kept_fractions, numbers, series
from lth_runner.report.tables import Row, markdown, percent, spread
from lth_runner.studies.facts import facts_figure, facts_table
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.names import recipe

APART = 0.02  # a search that keeps another fraction than asked for, by more than this part of it, is shown to do so
COLUMNS = (
    "curve", "density", "seed", "accuracy", "kept", "offered", "weights", "best_epoch", "best_epoch_accuracy", "epochs",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The points of a figure.

    Attributes:
        densities: fractions of weights kept.
        epochs: of every training; experiments hand it on to their methods and their target.
        repeats: seeds, counted from the run's own.
    """

    densities: list[float]
    epochs: int
    repeats: int

    def __post_init__(self) -> None:
        for density in self.densities:
            checks.fraction("densities", density)
        checks.integer("epochs", self.epochs, at_least=1)
        checks.integer("repeats", self.repeats, at_least=1)


@dataclass(frozen=True, kw_only=True)
class Own:
    """The points of one method, where they are not the grid's.

    Attributes:
        densities: fractions of weights kept; none for a method without a density to choose, which gives one point.
        repeats: seeds, counted from the run's own.
    """

    densities: list[float]
    repeats: int

    def __post_init__(self) -> None:
        for density in self.densities:
            checks.fraction("densities", density)
        checks.integer("repeats", self.repeats, at_least=1)


@dataclass(frozen=True, kw_only=True)
class Density:
    """Every method is a curve: tickets at each density and seed, measured as rebuilt; the trained target is a line.

    The figure shows them over the fraction really kept, which for some searches is less than asked for.

    Attributes:
        grid: which of the grids.
        grids: by name.
        own: by method, the points that it has instead.
        networks: the network that a method prunes, by the method's name, where it is not the run's.
        labels: what the figure calls the methods, where that differs from their names.
        published: [density, accuracy] pairs to draw and tabulate beside a method's own, by its name, as fractions.
        source: where those are from.
        figures: by file name the methods that a figure and a table show; none for one of all, "density".
        facts: what the tickets' facts are called in a figure and a table of their own, "facts", by their names; none
            for no such figure.
    """

    grid: str
    grids: dict[str, Grid]
    own: dict[str, Own]
    networks: dict[str, Architecture]
    labels: dict[str, str]
    published: dict[str, list[list[float]]]
    source: str
    figures: dict[str, list[str]]
    facts: dict[str, str]

    def __post_init__(self) -> None:
        checks.choice("grid", self.grid, self.grids)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses networks and figures of no method, and methods without a density; see `Study.check`."""
        for name in (*self.own, *self.networks, *self.published, *chain.from_iterable(self.figures.values())):
            checks.choice("own, networks, published or figures", name, methods)
        for name, method in methods.items():
            if self._own(name).densities and "density" not in recipe(method):
                raise ConfigError(
                    f"{name} has no density to choose: leave it out of compare, or let it have one point, "
                    f"+study.own.{name}={{_target_: lth_runner.studies.density.Own, densities: [], repeats: 1}}"
                )

    def tried(self, methods: Mapping[str, Method], network: Architecture) -> Iterator[tuple[Method, Architecture]]:
        """Some methods have networks of their own; see `Tries`."""
        yield from ((method, self.networks.get(name, network)) for name, method in methods.items())

    def amounts(self) -> Mapping[str, float]:
        """Points, and epochs of each; see `Scales`."""
        grid = self.grids[self.grid]
        return {"densities": len(grid.densities), "epochs": grid.epochs, "repeats": grid.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """The points, seed by seed so that all curves grow together, then table and figure."""
        problem.need("data")
        self.check(methods)
        grid = self.grids[self.grid]
        points = self._points(grid, problem, methods, recorder)
        target = None if problem.target is None else measure_target(problem)
        accuracy = None if target is None else target["accuracy"]
        curves = series(points, "density", "accuracy")
        caption = self._caption(grid)
        settings = {"epochs": grid.epochs, "repeats": grid.repeats}
        shown_in = self.figures or {"density": list(curves)}
        figures = {name: self._figure(accuracy, caption, shown) for name, shown in shown_in.items()}
        texts = {
            f"{name}.md": self._table({curve: curves[curve] for curve in shown}, points, accuracy, caption)
            for name, shown in shown_in.items()
        }
        if any(point.get(fact) is not None for point in points for fact in self.facts):
            figures["facts"] = facts_figure(self.facts, self.labels, points, self._about(grid))
            texts["facts.md"] = facts_table(self.facts, self.labels, points)
        rows: list[Row] = [] if target is None else [{**target, "network": "target"}]
        return Outcome(
            rows=rows + [row for name in curves for row in self._rows(name, points, target)],
            summary={"target/accuracy": accuracy, **numbers(curves, "accuracy"), **_cut_off(points), **settings},
            points=[{column: point.get(column) for column in (*COLUMNS, *self.facts)} for point in points],
            figures=figures,
            texts=texts,
        )

    def _points(self, grid: Grid, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> list[Point]:
        (data,) = problem.need("data")
        parts = [repr(part) for part in (self, dict(methods), problem.network, problem.device)]
        kept = Points(recorder, " ".join([*parts, data.fingerprint(), checksum(problem.target or {})]))
        found: list[Point] = []
        for repeat in range(max(self._own(name).repeats for name in methods)):
            seed = problem.streams.seed + repeat
            for name, method in methods.items():
                own = self._own(name)
                seeded = replace(problem, network=self.networks.get(name, problem.network), streams=Streams(seed))
                for densities in _together(own.densities, method, problem.device) if repeat < own.repeats else []:
                    label = f"{self.labels.get(name, name)}, seed {seed}, {_list(densities)} kept"

                    def find(
                        work: Recorder,
                        name: str = name,
                        method: Method = method,
                        seeded: Problem = seeded,
                        densities: Sequence[float] = densities,
                    ) -> list[Point]:
                        return _measured(name, method, seeded, densities, work, (*COLUMNS, *self.facts))

                    new = kept.get(label, find)
                    best = ", ".join(percent(point["accuracy"]) for point in new)
                    recorder.say(f"{label}: accuracy {best}")
                    found += new
            kept.forget_shared()  # chances and trainings of another seed are others
        return [self._placed(point, found) for point in found]

    def _placed(self, point: Point, points: Sequence[Point]) -> Point:
        """A point of a method without a density at the mean of what its tickets keep."""
        if self._own(point["curve"]).densities:
            return point
        same = [other for other in points if other["curve"] == point["curve"]]
        return {**point, "density": mean(same, "kept_fraction")}

    def _own(self, name: str) -> Own:
        grid = self.grids[self.grid]
        return self.own.get(name, Own(densities=grid.densities, repeats=grid.repeats))

    def _figure(self, target_accuracy: float | None, caption: str, shown: Sequence[str]) -> Description:
        return {
            "kind": "density",
            "caption": caption,
            "curves": shown,
            "target_accuracy": target_accuracy,
            "labels": {name: label for name, label in self.labels.items() if name in shown},
            "published": {name: pairs for name, pairs in self.published.items() if name in shown},
        }

    def _about(self, grid: Grid) -> str:
        seeds = f"mean of {grid.repeats} seeds, least to greatest shaded" if grid.repeats > 1 else "one seed"
        densities = f"{len(grid.densities)} densities" if len(grid.densities) > 1 else "one density"
        return f"{self.grid.capitalize()} grid: {densities}, {grid.epochs} epochs, {seeds}"

    def _caption(self, grid: Grid) -> str:
        mine = self._about(grid)
        return f"{mine}; hollow: {self.source}" if self.published else mine

    def _rows(self, name: str, points: Sequence[Point], target: Mapping[str, Any] | None) -> list[Row]:
        """Means over the seeds, one row per density; counts are multiples of the target's weights, or of those offered
        where there is no target."""
        rows = []
        for density in dict.fromkeys(point["density"] for point in points if point["curve"] == name):
            same = [point for point in points if point["curve"] == name and point["density"] == density]
            weights = target["weights"] if target else same[0]["offered"]
            rows.append(
                {
                    "network": f"{self.labels.get(name, name)}, {_list([density])}",
                    "accuracy": mean(same, "accuracy"),
                    "offered_ratio": same[0]["offered"] / weights,
                    "kept_ratio": mean(same, "kept") / weights,
                }
            )
        return rows

    def _table(self, curves: Mapping[str, Series], points: Sequence[Point], target: float | None, caption: str) -> str:
        """One line per density, a column per curve and one for what was published of it."""
        headings, columns = ["kept"], []
        for name, curve in curves.items():
            headings.append(self.labels.get(name, name))
            columns.append(
                {x: spread(*rest) for x, *rest in zip(curve.x, curve.mean, curve.low, curve.high, strict=True)}
            )
            fractions = kept_fractions(points, name)
            if any(abs(fraction - x) > APART * x for x, fraction in fractions.items()):
                headings.append("really kept")
                columns.append({x: f"{100 * fraction:.3g} %" for x, fraction in fractions.items()})
            if name in self.published:
                headings.append("published")
                columns.append({x: f"{100 * y:.4g} %" for x, y in self.published[name]})
        lines = [
            [f"{100 * density:.4g} %", *(column.get(density, "") for column in columns)]
            for density in sorted({x for curve in curves.values() for x in curve.x}, reverse=True)
        ]
        trained = "" if target is None else f"Trained network: {percent(target)}. "
        return f"{trained}{caption}.\n\n{markdown(headings, lines)}"


def _together(densities: Sequence[float], method: Method, device: str) -> list[list[float]]:
    """Densities whose tickets are found together: all of them, where that takes less time, or where there are none."""
    if not densities:
        return [[]]
    if isinstance(method, FindsEach) and method.together(device):
        return [list(densities)]
    return [[density] for density in densities]


def _measured(
    name: str,
    method: Any,
    problem: Problem,
    densities: Sequence[float],
    recorder: Recorder,
    columns: Sequence[str],
) -> list[Point]:
    if not densities:
        each = [method.find(problem, recorder)]
    elif isinstance(method, FindsEach):
        each = method.find_each(problem, recorder, densities)
    else:
        each = [replace(method, density=density).find(problem, recorder) for density in densities]
    points = []
    for density, one in zip(densities or [None], each, strict=True):
        network = materialise(one.ticket)
        found = measure_ticket(network, problem, epsilon=1.0, outputs=False, approximates=False)
        weights = found["offered"] if density is not None else round(found["kept"] / found["kept_ratio"])
        kept = found["kept"] / weights
        uses = told_layer_uses(
            f"{_list([kept if density is None else density])} kept", network, problem.data, recorder.say
        )
        known = {key: found[key] for key in columns if key in found}
        given = {
            "curve": name,
            "axis": "density",
            "seed": problem.streams.seed,
            "epochs": recipe(method).get("epochs"),
        }
        points.append(
            {
                **known,
                **given,
                **cut_off(uses),
                "density": kept if density is None else density,
                "kept_fraction": kept,
                "weights": weights,
            }
        )
    return points


def _cut_off(points: Sequence[Point]) -> dict[str, str]:
    """Names of layers without a path, `name/density/empty_layers`, of the last seed that has any."""
    return {
        f"{point['curve']}/{point['density']:g}/{key}": point[key]
        for point in points
        for key in ("empty_layers", "disconnected_layers")
        if point.get(key) is not None
    }


def _list(densities: Sequence[float]) -> str:
    return ", ".join(f"{100 * density:.4g} %" for density in densities) or "its own number"
