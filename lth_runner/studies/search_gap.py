"""How far searches stay from the best mask, where that is known: sums of random numbers near given weights."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.laws.curve import check_no_methods
from lth_runner.laws.poisson.averaged import error_quantile
from lth_runner.laws.poisson.numbers import equally_likely, moments
from lth_runner.laws.sum_search.interface import Chosen, Sums, SumSearch
from lth_runner.laws.sum_search.scores import Scores
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Point, Points, mean
from lth_runner.report.points import Description
from lth_runner.report.tables import Column
from lth_runner.study import Outcome

COLUMNS = {
    "panel": Column("what is sought", "text"),
    "curve": Column("search", "text"),
    "n": Column("n", "count"),
    "error": Column("median error", "error"),
    "relative": Column("relative error of the output", "error"),
    "kept": Column("kept of n", "number"),
    "changed": Column("networks that left the first mask", "percent"),
    "time_s": Column("time", "seconds"),
}
DIFFERENCING, LAW = "n^(-0.72 ln n)", "best mask, the law's median"
TARGETS, LAW_TO = 100, 28  # how many targets the law averages over, and the largest n that it is drawn for


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One kind of network, and who searches it.

    Attributes:
        title: for people.
        networks: R, whose scores do not compete with each other's.
        weights: d of each, whose scores do.
        inputs: "white", or "data": the d features of the run's training inputs, whose second moments weigh the errors.
        searches: by name, and the values of n that each is put to.
    """

    title: str
    networks: int
    weights: int
    inputs: str
    searches: dict[str, list[int]]

    def __post_init__(self) -> None:
        checks.integer("networks", self.networks, at_least=1)
        checks.choice("inputs", self.inputs, ("white", "data"))
        checks.integer("weights", self.weights, at_least=1)


@dataclass(frozen=True, kw_only=True)
class SearchGap:
    """Median and mean errors of every search as n grows, over the same random numbers and targets.

    Attributes:
        numbers, targets: laws of the random numbers and of the target weights.
        searches: by name.
        panels: by name.
        repeats: seeds, counted from the run's own.
        labels: what the figure calls the searches.
    """

    numbers: Distribution
    targets: Distribution
    searches: dict[str, SumSearch]
    panels: dict[str, Panel]
    repeats: int
    labels: dict[str, str]

    def __post_init__(self) -> None:
        checks.integer("repeats", self.repeats, at_least=1)
        for panel in self.panels.values():
            for name, values in panel.searches.items():
                checks.choice("searches", name, self.searches)
                for n in values:
                    checks.integer("n", n, at_least=1)
        for name, search in self.searches.items():
            if not isinstance(search, SumSearch):
                raise ConfigError(f"study.searches.{name} is no search for sums: see lth_runner.laws.sum_search")

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def amounts(self) -> Mapping[str, float]:
        """Seeds; see `Scales`."""
        return {"repeats": self.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Every search on every panel, seed by seed."""
        self.check(methods)
        moments = {name: self._moments(panel, problem.data) for name, panel in self.panels.items()}
        data = "" if problem.data is None else problem.data.fingerprint()
        kept = Points(recorder, f"{self!r} {data}")
        points: list[Point] = []
        for seed in range(problem.streams.seed, problem.streams.seed + self.repeats):
            for name in self.panels:
                for search in self.panels[name].searches:

                    def find(work: Recorder, name: str = name, search: str = search, seed: int = seed) -> list[Point]:
                        return self._points(name, search, moments[name], seed, work)

                    found = kept.get(f"{self.panels[name].title}, {search}, seed {seed}", find)
                    points += [{**point, "seed": seed} for point in found]
        rows = self._rows(points)
        return Outcome(
            rows=[
                {**row, "panel": self.panels[row["panel"]].title, "curve": self.labels.get(row["curve"], row["curve"])}
                for row in rows
            ],
            columns=COLUMNS,
            summary={f"{row['panel']}/{row['curve']}/{row['n']}/error": row["error"] for row in rows},
            points=points,
            figures={"search_gap": self._figure()},
        )

    def _moments(self, panel: Panel, data: Dataset | None) -> np.ndarray | None:
        if panel.inputs == "white":
            return None
        if data is None or not isinstance(data.train_inputs, torch.Tensor):
            raise ConfigError(f"{panel.title}: errors are weighed by training inputs, one tensor: add data=mnist")
        inputs = data.train_inputs.flatten(1).double().cpu()
        if inputs.shape[1] != panel.weights:
            raise ConfigError(f"{panel.title}: weights={panel.weights}, and inputs have {inputs.shape[1]} features")
        return (inputs.T @ inputs / len(inputs)).numpy()

    def _points(self, name: str, search: str, moments: np.ndarray | None, seed: int, recorder: Recorder) -> list[Point]:
        panel = self.panels[name]
        found: list[Point] = []
        with recorder.progress("n", len(panel.searches[search])) as bar:
            for n in panel.searches[search]:
                streams = Streams(seed)
                sums = self._sums(panel, n, moments, streams)
                started = time.perf_counter()
                chosen = self.searches[search].find(sums, streams)
                found.append({"panel": name, "curve": search, "n": n, **self._measured(search, sums, chosen, streams)})
                found[-1]["time_s"] = time.perf_counter() - started
                bar.advance(1)
        return found

    def _sums(self, panel: Panel, n: int, moments: np.ndarray | None, streams: Streams) -> Sums:
        """The same numbers and targets for every search."""
        shape = (panel.networks, panel.weights)
        levels = streams.uniform(("numbers",), 0, math.prod(shape) * n)
        target_levels = streams.uniform(("targets",), 0, math.prod(shape))
        return Sums(
            values=self.numbers.quantile(levels).reshape(*shape, n),
            targets=self.targets.quantile(target_levels).reshape(shape),
            moments=moments,
        )

    def _measured(self, search: str, sums: Sums, chosen: Chosen, streams: Streams) -> dict[str, float | None]:
        errors = chosen.errors(sums)
        used = self.searches[search]
        first = used.start if isinstance(used, Scores) else None
        changed = None if first is None else (first.find(sums, streams).masks != chosen.masks).any(axis=(1, 2)).mean()
        return {
            "error": float(np.median(np.abs(errors))),
            "relative": float(np.sqrt(sums.losses(errors).sum() / sums.losses(sums.targets).sum())),
            "kept": float(chosen.masks.mean()),
            "changed": None if changed is None else float(changed),
        }

    def _rows(self, points: list[Point]) -> list[dict[str, Any]]:
        """Means over the seeds."""
        rows = []
        for panel, curve, n in dict.fromkeys((p["panel"], p["curve"], p["n"]) for p in points):
            same = [p for p in points if (p["panel"], p["curve"], p["n"]) == (panel, curve, n)]
            changed = None if same[0]["changed"] is None else mean(same, "changed")
            row = {key: mean(same, key) for key in ("error", "relative", "kept", "time_s")}
            rows.append({"panel": panel, "curve": curve, "n": n, **row, "changed": changed})
        return rows

    def _figure(self) -> Description:
        return {
            "kind": "panels",
            "labels": self.labels,
            "caption": f"mean and range over {self.repeats} seeds",
            "panels": [
                {
                    "part": name,
                    "x": "n",
                    "x_label": f"n, random weights per target weight\n({panel.title})",
                    "x_scale": "log2",
                    "y": "error" if panel.inputs == "white" else "relative",
                    "y_label": "median |error|" if panel.inputs == "white" else "relative error of the output",
                    "y_scale": "log",
                    "y_limits": [None, None],
                    "level": None,
                    "formulas": self._formulas(panel),
                }
                for name, panel in self.panels.items()
            ],
        }

    def _formulas(self, panel: Panel) -> dict[str, list[list[float]]]:
        """By label, n and errors: medians by the Poisson law, and what differencing is known to reach."""
        if panel.inputs == "data":
            return {}
        n = sorted({n for values in panel.searches.values() for n in values})
        number, targets = moments(equally_likely(self.numbers)), equally_likely(self.targets, TARGETS)
        few = [k for k in n if k <= LAW_TO]
        law = [error_quantile(k, number, targets, 0.5) for k in few]
        reached = [k ** (-math.log(k) / (2 * math.log(2))) for k in n]
        return {LAW: [[*map(float, few)], law], DIFFERENCING: [[*map(float, n)], reached]}
