"""How many random numbers an epsilon costs: n = C log2(1/epsilon) + D for SubsetSum, a power for the single best."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.laws.closed_forms import ClosedForm, smallest_n
from lth_runner.laws.curve import Curve, check_no_methods, every_weight
from lth_runner.laws.first_hits import NEVER, Hits
from lth_runner.laws.predicted import LocalPoisson, predicted_crossing, predicted_n
from lth_runner.laws.statistics import Estimate, bootstrap, crossing, line, quantile_interval
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description
from lth_runner.report.tables import Column, Row
from lth_runner.study import Outcome

COLUMNS = {
    "label": Column("curve", "text"),
    "epsilon": Column("epsilon", "number"),
    "n": Column("smallest n", "count"),
    "n_low": Column("at least", "count"),
    "n_high": Column("at most", "count"),
    "n_law": Column("by the Poisson law", "count"),
    "failures": Column("failures", "count"),
    "instances": Column("of instances", "count"),
}
FIT_NAMES = {"logarithm": ("C", "D"), "power": ("exponent", "log2_factor")}
SURE = 0.9999  # a point is fitted only if its interval of this confidence ends: resamples must have it too


@dataclass(frozen=True, kw_only=True)
class Point:
    """The smallest n of one curve at one epsilon, None beyond the n that were looked at; `n_law` is predicted."""

    epsilon: float
    n: int | None
    n_low: int | None
    n_high: int | None
    n_law: int | None
    failures: int


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """The smallest n at which a share of instances is within epsilon, with intervals, fits and closed forms.

    The fit is a least-squares line of n (or, for a power, log2 n) over log2(1 / epsilon), n read between whole numbers;
    its interval is a percentile bootstrap over instances, so that it covers chance but not curvature.

    Attributes:
        curves: by name.
        epsilons: descending.
        share: of instances that must succeed.
        fit_epsilon: larger ones are left out of fits: there, targets out of reach decide and not precision.
        confidence: of every interval.
        resamples: of the bootstrap.
        target_range: width of the target weights' interval, for the information limit log2(range / (2 epsilon)): 2^n
            subsets cover 2 epsilon each. None: of the target network's weights.
        theorem: the curve beside which the theorem's form C log2(2 / epsilon) is drawn, with the least C that suffices
            at every epsilon of the fit; None: nowhere.
        closed_forms: drawn beside the powers, unless the targets are a network's weights: they hold for U[-1, 1].
        law: what predicts the curves of subset sums; its n is fitted as the measured one is, which gives its C and D.
            None: nothing.
    """

    curves: dict[str, Curve]
    epsilons: list[float]
    share: float
    fit_epsilon: float
    confidence: float
    resamples: int
    target_range: float | None
    theorem: str | None
    closed_forms: dict[str, ClosedForm]
    law: LocalPoisson | None

    def __post_init__(self) -> None:
        for name in ("share", "confidence"):
            checks.fraction(f"study.{name}", getattr(self, name))
        for epsilon in self.epsilons:
            checks.positive("study.epsilons", epsilon)
        checks.positive("study.fit_epsilon", self.fit_epsilon)
        checks.integer("study.resamples", self.resamples, at_least=1)
        if not self.curves or not self.epsilons or sorted(self.epsilons, reverse=True) != self.epsilons:
            raise ConfigError("study.curves and study.epsilons must not be empty, and epsilons must descend")
        if self.theorem is not None:
            checks.choice("study.theorem", self.theorem, self.curves)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Follows the instances of every curve; see `Study.run`."""
        self.check(methods)
        points: dict[str, list[Point]] = {}
        fits: dict[str, list[Estimate]] = {}
        summary: dict[str, float | int | str | None] = {}
        for name, curve in self.curves.items():
            started = time.perf_counter()
            hits = curve.hits(problem, np.array(self.epsilons), recorder)
            law = self._law(curve, problem, recorder)
            points[name] = self._points(name, curve, hits, law, recorder)
            fits[name] = self._fit(curve, hits, problem.streams("bootstrap", name))
            by_law = self._fit_of_law(self._used(hits), law)
            summary |= {f"{name}/instances": curve.instances, f"{name}/given_up": hits.given_up.size}
            for what, estimate in zip(FIT_NAMES[curve.search.growth], fits[name], strict=False):
                summary |= estimate.flat(f"{name}/{what}")
            summary |= {f"{name}/{what}_law": value for what, value in zip("CD", by_law, strict=False)}
            summary[f"{name}/C_form"] = self._form(points[name])
            summary[f"{name}/search_time_s"] = time.perf_counter() - started
            recorder.say(self._line(curve, points[name], fits[name], by_law))
        rows: list[Row] = [
            {"label": curve.label, **asdict(point), "instances": curve.instances}
            for name, curve in self.curves.items()
            for point in points[name]
        ]
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary=summary,
            points=[
                {"curve": name, **asdict(point), "instances": curve.instances, "max_n": curve.search.max_n}
                for name, curve in self.curves.items()
                for point in points[name]
            ],
            figures={"scaling_law": self._figure(problem, points, fits)},
        )

    def _law(self, curve: Curve, problem: Problem, recorder: Recorder) -> np.ndarray | None:
        """(N + 1, E) predicted shares of failures; None for curves that the law is not about."""
        if self.law is None or curve.search.growth != "logarithm":
            return None
        return self.law.failures(curve, problem, np.array(self.epsilons), recorder)

    def _points(self, name: str, curve: Curve, hits: Hits, law: np.ndarray | None, recorder: Recorder) -> list[Point]:
        points = []
        for e, epsilon in enumerate(self.epsilons):
            first = hits.first[:, e]
            n, n_low, n_high = (_reached(n) for n in quantile_interval(first, self.share, self.confidence))
            at = curve.search.max_n if n is None else n
            failures = int(hits.failures(at)[e])
            n_law = None if law is None else predicted_n(law[:, e], self.share)
            points.append(Point(epsilon=epsilon, n=n, n_low=n_low, n_high=n_high, n_law=n_law, failures=failures))
            known = {"n": n, "n_low": n_low, "n_high": n_high, "n_law": n_law}
            recorder.metrics(
                curve=name, axis="epsilon", epsilon=epsilon, failures=failures, instances=curve.instances,
                **{key: value for key, value in known.items() if value is not None},
            )  # fmt: skip
        return points

    def _used(self, hits: Hits) -> list[int]:
        """The epsilons that fits see, by their places."""
        return [
            e
            for e, epsilon in enumerate(self.epsilons)
            if epsilon <= self.fit_epsilon and quantile_interval(hits.first[:, e], self.share, SURE)[2] < NEVER
        ]

    def _fit_of_law(self, used: list[int], law: np.ndarray | None) -> tuple[float, ...]:
        """Slope and offset of the same line through what the law predicts; empty where it reaches fewer points."""
        found = [] if law is None else [predicted_crossing(law[:, e], self.share) for e in used]
        n = [value for value in found if value is not None]
        if len(n) < max(2, len(used)):
            return ()
        return line(np.log2(1 / np.array(self.epsilons)[used]), np.array(n))

    def _fit(self, curve: Curve, hits: Hits, generator: np.random.Generator) -> list[Estimate]:
        """Slope and offset with their intervals; empty where fewer than two points are there to fit."""
        used = self._used(hits)
        if len(used) < 2:
            return []
        x = np.log2(1 / np.array(self.epsilons)[used])

        def slope_and_offset(first: np.ndarray) -> np.ndarray:
            n = np.array([crossing(column, self.share) for column in first.T])
            return np.array(line(x, n if curve.search.growth == "logarithm" else np.log2(n)))

        sample = np.asfortranarray(hits.first[:, used])
        return bootstrap(sample, slope_and_offset, self.resamples, self.confidence, generator)

    def _line(self, curve: Curve, points: list[Point], fit: list[Estimate], by_law: tuple[float, ...]) -> str:
        missing = [f"{point.epsilon:g}" for point in points if point.n is None]
        words = [f"{curve.label}:"]
        if fit:
            slope, offset = fit
            form = (
                f"n = C log2(1/epsilon) + D with C = {slope:.3f}, D = {offset:.3f}"
                if curve.search.growth == "logarithm"
                else f"n ~ epsilon^-k with k = {slope:.3f}"
            )
            words.append(f"{form} for epsilon <= {self.fit_epsilon:g}")
        if by_law:
            words.append("(Poisson law C = {:.3f}, D = {:.3f})".format(*by_law))
        if missing:
            words.append(f"{100 * self.share:g} % not reached with n <= {curve.search.max_n} at {', '.join(missing)}")
        return " ".join(words)

    def _form(self, points: list[Point]) -> float | None:
        """The least C such that n = C log2(2 / epsilon) suffices wherever the fit looks; None if n is not known."""
        used = [point for point in points if point.epsilon <= self.fit_epsilon]
        if not used or any(point.n is None for point in used):
            return None
        return max((point.n or 0) / float(np.log2(2 / point.epsilon)) for point in used)

    def _figure(self, problem: Problem, points: dict[str, list[Point]], fits: dict[str, list[Estimate]]) -> Description:
        curves = {
            name: {
                "label": curve.label,
                "growth": curve.search.growth,
                "fit": [estimate.value for estimate in fits[name]] or None,
            }
            for name, curve in self.curves.items()
        }
        forms = {
            form.label: [self.epsilons, [float(smallest_n(form, epsilon, self.share)) for epsilon in self.epsilons]]
            for form in (self.closed_forms.values() if problem.target is None else ())
        }
        return {
            "kind": "scaling_law",
            "share": self.share,
            "fit_epsilon": self.fit_epsilon,
            "curves": curves,
            "formulas": {"logarithm": self._bounds(problem, points), "power": forms},
        }

    def _bounds(self, problem: Problem, points: dict[str, list[Point]]) -> dict[str, list[list[float]]]:
        """The information limit, and the theorem's form, as lines: epsilons and n."""
        epsilons, bounds = np.array(self.epsilons), {}
        weights = every_weight(problem)
        width = self.target_range if weights is None or self.target_range is not None else float(np.ptp(weights))
        if width is not None:
            bounds["limit, log2(range / (2 epsilon))"] = np.log2(width / (2 * epsilons))
        constant = self.theorem and self._form(points[self.theorem])
        if constant:
            bounds[f"theorem, {constant:.2f} log2(2 / epsilon)"] = constant * np.log2(2 / epsilons)
        return {label: [self.epsilons, n.tolist()] for label, n in bounds.items()}


def _reached(n: int) -> int | None:
    return None if n == NEVER else n
