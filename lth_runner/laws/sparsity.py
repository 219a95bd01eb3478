"""The price of sparsity: how many numbers subsets of exactly k of n take for an error, and how many bits their masks.

Natale et al. (2024, arXiv:2410.14754) have n H2(k / n) = c log2(k / epsilon) for one target and constant probability
(Theorem 2), and log2^2 for all targets in [-sqrt k, sqrt k] with probability 1 - epsilon (Corollary 1). Both settings
are measured here, by exact search.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.laws.curve import check_no_methods
from lth_runner.laws.equal_error import EqualError
from lth_runner.laws.of_size import closest_of_size, worst_of_size
from lth_runner.laws.poisson.quenched import LocalLaw, mean_error_quantile
from lth_runner.laws.poisson.sizes import log_rate_of_size
from lth_runner.laws.statistics import Estimate, binomial_interval, order_quantile
from lth_runner.problem import Method, Problem
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column, Row
from lth_runner.study import Outcome
from lth_runner.subset_sum.interface import SubsetSumSolver
from lth_runner.ticket.coder import entropy_bits

MEDIAN = 0.5
COLUMNS = {
    "what": Column("what", "text"),
    "label": Column("kept", "text"),
    "n": Column("n", "count"),
    "n_low": Column("n at least", "count"),
    "n_high": Column("n at most", "count"),
    "k": Column("k", "count"),
    "epsilon": Column("error", "error"),
    "epsilon_low": Column("at least", "error"),
    "epsilon_high": Column("at most", "error"),
    "out_of_reach": Column("failures out of reach", "percent"),
    "law_ratio": Column("measured / predicted", "number"),
    "entropy": Column("n H2(k / n)", "number"),
    "per_bit": Column("n H2(k / n) / log2(1 / error)", "number"),
    "coded_bits": Column("bits of the coded mask", "number"),
    "subset_bits": Column("log2 C(n, k)", "number"),
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How many numbers are kept: `size` of any n, or a share of them.

    Attributes:
        label: for people.
        size, share: one of the two, the other null.
        n: ascending.
    """

    label: str
    size: int | None
    share: float | None
    n: list[int]

    def __post_init__(self) -> None:
        if (self.size is None) == (self.share is None):
            raise ConfigError(f"{self.label} needs a size or a share and not both: set the other one to null")
        if not self.n or not all(1 <= self.of(n) <= n for n in self.n):
            raise ConfigError(f"{self.label} needs some n of which at least one and at most all are kept, got {self.n}")

    def of(self, n: int) -> int:
        """k."""
        return self.size if self.size is not None else round((self.share or 0.0) * n)


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """The theorem's setting: a failure probability as small as the error.

    Attributes:
        every_target: of [-sqrt k, sqrt k] at once; else one, uniform there.
        instances: rows of numbers.
    """

    kept: Kept
    every_target: bool
    instances: int

    def __post_init__(self) -> None:
        checks.boolean("every_target", self.every_target)
        checks.integer("instances", self.instances, at_least=1)


@dataclass(frozen=True, kw_only=True)
class PriceOfSparsity:
    """Errors at given n and k, errors that hold with probability 1 - error, and bits of masks at equal error.

    Attributes:
        numbers, targets: distributions.
        kept: by name.
        guarantees: by name.
        equal: by name.
        instances: for medians and for masks.
        confidence: of every interval.
        solver: exact, for subsets of any size; to `most_any` numbers.
    """

    numbers: Distribution
    targets: Distribution
    kept: dict[str, Kept]
    guarantees: dict[str, Guarantee]
    equal: dict[str, EqualError]
    instances: int
    most_any: int
    confidence: float
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.integer("study.instances", self.instances, at_least=1)
        checks.integer("study.most_any", self.most_any, at_least=1)
        checks.fraction("study.confidence", self.confidence)

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Measures all three; see `Study.run`."""
        self.check(methods)
        points: list[Point] = []
        summary: dict[str, Any] = {}
        for panel, asks in self._asks(problem.streams).items():
            started = time.perf_counter()
            with recorder.progress(WHAT[panel], len(asks)) as bar:
                for ask in asks:
                    point = ask()
                    recorder.metrics(**{key: value for key, value in point.items() if value is not None})
                    points.append({"panel": panel, **point})
                    bar.advance(1)
            summary[f"{panel}/time_s"] = time.perf_counter() - started
        for name in self.guarantees:
            found = [point for point in points if point["curve"] == name and point["panel"] == "guarantee"]
            summary |= _slopes(name, self.guarantees[name].kept.label, found, recorder)
        for point in points:
            summary[f"{point['panel']}/{point['curve']}/{point['n']}/{point['k']}/epsilon"] = point["epsilon"]
        return Outcome(
            rows=[_row(point) for point in points],
            columns=COLUMNS,
            summary=summary,
            points=points,
            figures={"price_of_sparsity": self._figure()},
        )

    def _asks(self, streams: Streams) -> dict[str, list[Callable[[], Point]]]:
        """What gives the points of each panel, one after another."""
        error, guaranteed, least = (partial(ask, streams) for ask in (self._error, self._guaranteed, self._bits))
        return {
            "errors": [partial(error, name, kept, n) for name, kept in self.kept.items() for n in kept.n],
            "guarantee": [
                partial(guaranteed, name, part, n) for name, part in self.guarantees.items() for n in part.kept.n
            ],
            "bits": [
                partial(least, name, part, size, most)
                for name, part in self.equal.items()
                for size, most in [*part.most_n.items(), (None, self.most_any)]
            ],
        }

    def _draw(self, streams: Streams, path: tuple[str, ...], count: int, n: int) -> np.ndarray:
        """(count, n) numbers, of which fewer are the first ones."""
        return self.numbers.quantile(streams.uniform((*path, "values"), 0, count * n).reshape(n, count).T)

    def _error(self, streams: Streams, name: str, kept: Kept, n: int) -> Point:
        """The median of the best error, and what the law given the numbers says."""
        path, k = ("errors", name, str(n)), kept.of(n)
        values = self._draw(streams, path, self.instances, n)
        targets = self.targets.quantile(streams.uniform((*path, "targets"), 0, self.instances))
        error, _ = closest_of_size(values, targets, k)
        found = order_quantile(error, MEDIAN, self.confidence)
        law = predicted_median(values, targets, k)
        extra = {"law": law, "law_ratio": None if law is None else found.value / law}
        return {"curve": name, "label": kept.label, **_point(n, k, found), **extra}

    def _guaranteed(self, streams: Streams, name: str, part: Guarantee, n: int) -> Point:
        """The error that is exceeded with a probability equal to it."""
        path, k = ("guarantee", name, str(n)), part.kept.of(n)
        values = self._draw(streams, path, part.instances, n)
        out: dict[str, float] = {}
        if part.every_target:
            found = guaranteed(worst_of_size(values, k, math.sqrt(k)), self.confidence)
        else:
            levels = streams.uniform((*path, "targets"), 0, part.instances)
            targets = math.sqrt(k) * (2 * levels - 1)
            error, _ = closest_of_size(values, targets, k)
            found = guaranteed(error, self.confidence)
            beyond = out_of_reach(values, targets, k, found.value)
            out = {"out_of_reach": float(beyond.sum() / np.count_nonzero(error > found.value))}
        return {"curve": name, "label": part.kept.label, **_point(n, k, found), **out}

    def _bits(self, streams: Streams, name: str, part: EqualError, size: int | None, most: int) -> Point:
        """The least n at equal error, and what its masks take."""
        targets = self.targets.quantile(streams.uniform(("bits", "targets"), 0, self.instances))
        values = self._draw(streams, ("bits",), self.instances, most)
        least = part.least(values, targets, size, self.confidence, self.solver)
        return {"curve": name, "label": part.label, **least}

    def _figure(self) -> Description:
        return {
            "kind": "price_of_sparsity",
            "panels": {
                "errors": {name: kept.label for name, kept in self.kept.items()},
                "guarantee": {name: part.kept.label for name, part in self.guarantees.items()},
                "bits": {name: part.label for name, part in self.equal.items()},
            },
        }


def predicted_median(values: np.ndarray, targets: np.ndarray, size: int) -> float | None:
    """By the law given the numbers; None where all are kept, so that nothing is random."""
    if size == values.shape[1]:
        return None
    log_rate = log_rate_of_size(values, size, targets)
    beyond = np.abs(targets) + np.abs(values).sum(axis=1)  # no error is larger
    return mean_error_quantile(LocalLaw(log_rate, np.zeros(targets.size), beyond), MEDIAN)


def guaranteed(errors: np.ndarray, confidence: float) -> Estimate:
    """The least e that is exceeded with a probability of at most e; its interval is that of the probability."""
    ordered = np.sort(errors)
    exceed = errors.size - 1 - np.arange(errors.size)
    shares = (exceed / errors.size, *binomial_interval(exceed, errors.size, confidence))
    return Estimate(*(float(np.maximum(ordered, share).min()) for share in shares))


def out_of_reach(values: np.ndarray, targets: np.ndarray, size: int, epsilon: float) -> np.ndarray:
    """(B,) bool, whether the target is more than epsilon beyond the least or the greatest sum of `size` numbers."""
    ordered = np.sort(values, axis=1)
    least, most = ordered[:, :size].sum(axis=1), ordered[:, -size:].sum(axis=1)
    return (targets < least - epsilon) | (targets > most + epsilon)


def entropy(n: int, k: int) -> float:
    """n H2(k / n) in bits."""
    return entropy_bits([k, n - k])


def _point(n: int, k: int, error: Estimate) -> dict[str, Any]:
    bits = entropy(n, k)
    return {
        "n": n, "k": k, **error.flat("epsilon"),
        "entropy": bits, "per_bit": bits / math.log2(1 / error.value), "subset_bits": math.log2(math.comb(n, k)),
    }  # fmt: skip


def bits_per_bit(before: Point, there: Point) -> Estimate:
    """How much n H2(k / n) grows per bit of log2(1 / error) from one n to another.

    Its interval is that of the least and the greatest distance between the two intervals of the error.
    """
    grown = there["entropy"] - before["entropy"]
    ends = (("epsilon", "epsilon"), ("epsilon_high", "epsilon_low"), ("epsilon_low", "epsilon_high"))
    bits = [math.log2(before[first] / there[last]) for first, last in ends]
    return Estimate(*(grown / distance if distance > 0 else math.inf for distance in bits))


def _slopes(name: str, label: str, points: Sequence[Point], recorder: Recorder) -> dict[str, float | None]:
    """In the first and in the second half of a curve: equal with one log, growing as the logarithm does with two."""
    if len(points) < 3:
        return {}
    middle = points[len(points) // 2]
    parts = {"early": bits_per_bit(points[0], middle), "late": bits_per_bit(middle, points[-1])}
    words = ", ".join(f"{when} {part:.2f}" for when, part in parts.items())
    recorder.say(f"{label}: bits of a mask per bit of the error: {words}")
    found = [part.flat(f"guarantee/{name}/slope_{when}") for when, part in parts.items()]
    return {key: value if math.isfinite(value) else None for part in found for key, value in part.items()}


WHAT = {
    "errors": "median error of one target",
    "guarantee": "error exceeded with that probability",
    "bits": "masks at equal error",
}


def _row(point: Point) -> Row:
    return {"what": WHAT[point["panel"]], **{key: value for key, value in point.items() if key != "panel"}}
