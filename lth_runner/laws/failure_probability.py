"""How fast failures vanish as n grows, and whether they do so exponentially."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.closed_forms import ClosedForm
from lth_runner.laws.curve import Curve, check_no_methods
from lth_runner.laws.predicted import LocalPoisson
from lth_runner.laws.statistics import Estimate, binomial_interval, decay
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column, Row
from lth_runner.study import Outcome

COLUMNS = {
    "label": Column("curve", "text"),
    "epsilon": Column("epsilon", "number"),
    "n": Column("n", "count"),
    "failures": Column("failures", "count"),
    "instances": Column("of instances", "count"),
    "failure_share": Column("share", "number"),
    "failure_low": Column("at least", "number"),
    "failure_high": Column("at most", "number"),
    "failure_law": Column("by the Poisson law", "number"),
}


@dataclass(frozen=True, kw_only=True)
class Comparable:
    """Curves that are drawn on the same axes.

    Attributes:
        title: of the axes.
        epsilon: allowed absolute error; below half a grid step it asks for exact sums.
        curves: by name.
        closed_forms: drawn beside them.
    """

    title: str
    epsilon: float
    curves: dict[str, Curve]
    closed_forms: dict[str, ClosedForm]

    def __post_init__(self) -> None:
        checks.positive("epsilon", self.epsilon)
        if not self.curves:
            raise ConfigError(f"the panel {self.title!r} has no curves: give it some")


@dataclass(frozen=True, kw_only=True)
class FailureProbability:
    """The share of failed instances against n, with exact binomial intervals, and the factor by which each n cuts it.

    Exponential decay means that this factor stays below 1 as failures become rare. So it is measured twice, too: where
    the share falls from `tail` half of the way, on a logarithmic axis, to the least that is known well, and beyond.

    Attributes:
        panels: by name.
        table_n: the n that have a row in the table.
        tail: the share of failures below which decay is measured.
        least_failures: decay is followed down to so many failures.
        confidence: of every interval.
        law: what predicts the curves, down to the share that `least_failures` of its draws are. None: nothing.
    """

    panels: dict[str, Comparable]
    table_n: list[int]
    tail: float
    least_failures: int
    confidence: float
    law: LocalPoisson | None

    def __post_init__(self) -> None:
        checks.fraction("study.tail", self.tail)
        checks.fraction("study.confidence", self.confidence)
        checks.integer("study.least_failures", self.least_failures, at_least=1)
        for n in self.table_n:
            checks.integer("study.table_n", n, at_least=0)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Follows the instances of every curve; see `Study.run`."""
        self.check(methods)
        rows: list[Row] = []
        points: list[Point] = []
        summary: dict[str, float | int | str | None] = {}
        for key, panel in self.panels.items():
            for name, curve in panel.curves.items():
                started = time.perf_counter()
                hits = curve.hits(problem, np.array([panel.epsilon]), recorder)
                counted = range(0, hits.known_to(curve.search.max_n) + 1, curve.law.offered_per_draw)
                failures = {n: int(hits.failures(n)[0]) for n in counted}
                law = self._law(curve, problem, panel.epsilon, recorder)
                found = self._points(name, curve, failures, law, recorder)
                points += [{"panel": key, **point} for point in found]
                looks = {"label": curve.label, "epsilon": panel.epsilon}
                rows += [{**looks, **point} for n in self.table_n for point in found if point["n"] == n]
                summary |= {f"{name}/instances": curve.instances, f"{name}/given_up": hits.given_up.size}
                summary |= self._decay(name, curve, failures, recorder)
                summary[f"{name}/search_time_s"] = time.perf_counter() - started
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary=summary,
            points=points,
            figures={"failure_probability": self._figure()},
        )

    def _law(self, curve: Curve, problem: Problem, epsilon: float, recorder: Recorder) -> dict[int, float]:
        """The share of failures by n, where enough draws fail for it to be known."""
        if self.law is None:
            return {}
        shares = self.law.failures(curve, problem, np.array([epsilon]), recorder)[:, 0]
        return {n: float(share) for n, share in enumerate(shares) if share * self.law.draws >= self.least_failures}

    def _points(
        self, name: str, curve: Curve, failures: dict[int, int], law: Mapping[int, float], recorder: Recorder
    ) -> list[Point]:
        """Every n that was followed; from the first number on in the metrics, too."""
        counts = np.array(list(failures.values()))
        share = counts / curve.instances
        low, high = binomial_interval(counts, curve.instances, self.confidence)
        points = []
        for at, n in enumerate(failures):
            line = {
                "curve": name, "n": n, "failures": failures[n], "instances": curve.instances,
                "failure_share": float(share[at]), "failure_low": float(low[at]), "failure_high": float(high[at]),
            }  # fmt: skip
            predicted = {"failure_law": law[n]} if n in law else {}
            if n > 0:
                recorder.metrics(**line, **predicted)
            points.append({**line, "failure_law": law.get(n)})
        return points

    def _figure(self) -> Description:
        return {"kind": "failure_probability", "panels": {name: _panel(panel) for name, panel in self.panels.items()}}

    def _decay(self, name: str, curve: Curve, failures: dict[int, int], recorder: Recorder) -> dict[str, float | int]:
        """The factor per number offered: in all of the tail, and in its first and its second half."""
        counts, step = np.array(list(failures.values())), curve.law.offered_per_draw
        rare = np.flatnonzero(counts <= self.tail * curve.instances)
        known = np.flatnonzero(counts >= self.least_failures)
        if not rare.size or not known.size or rare[0] >= known[-1]:
            recorder.say(f"{curve.label}: no tail to follow; {counts[-1]:,} of {curve.instances:,} fail at the last n")
            return {}
        start, stop = int(rare[0]), int(known[-1])
        middle = int(np.flatnonzero(counts <= np.sqrt(float(counts[start]) * counts[stop]))[0])
        parts = {"factor": (start, stop), "factor_early": (start, middle), "factor_late": (middle, stop)}
        found = {what: _per_number(decay(counts, *ends, self.confidence), step) for what, ends in parts.items()}
        words = ", ".join(f"{what.replace('_', ' ')} {estimate:.3f}" for what, estimate in found.items())
        recorder.say(
            f"{curve.label}: what one more number leaves of the failures, n = {start * step} to {stop * step}: {words}"
        )
        ends = {f"{name}/tail_from_n": start * step, f"{name}/tail_to_n": stop * step}
        return {
            key: value for what, estimate in found.items() for key, value in estimate.flat(f"{name}/{what}").items()
        } | ends


def _panel(panel: Comparable) -> dict[str, object]:
    most = max(curve.search.max_n for curve in panel.curves.values())
    n = np.arange(1, most + 1)
    forms = panel.closed_forms.values()
    return {
        "title": panel.title,
        "labels": {name: curve.label for name, curve in panel.curves.items()},
        "formulas": {form.label: [n.tolist(), form.failure(n, panel.epsilon).tolist()] for form in forms},
    }


def _per_number(factor: Estimate, step: int) -> Estimate:
    """Of a factor per step of so many numbers."""
    return Estimate(*(part ** (1 / step) for part in (factor.value, factor.low, factor.high)))
