"""Neuron masks against weight masks for one ReLU neuron: does an error epsilon cost 1/epsilon or its logarithm?"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.laws.curve import check_no_methods
from lth_runner.laws.one_neuron.neuron_mask import Network, best_neurons
from lth_runner.laws.one_neuron.surface import MOST_INPUTS
from lth_runner.laws.one_neuron.weight_mask import product_mask_error
from lth_runner.laws.statistics import Estimate, bootstrap, line, order_quantile
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Points
from lth_runner.report.points import Description, Point
from lth_runner.report.tables import Column
from lth_runner.study import Outcome
from lth_runner.subset_sum.interface import SubsetSumSolver

NEURON, BOUND, WEIGHT = "neuron", "neuron_bound", "weight"
LABELS = {
    NEURON: "neuron mask, best",
    BOUND: "neuron mask, the best is at most",
    WEIGHT: "weight mask, the best is at most",
}
COLUMNS = {
    "panel": Column("inputs", "count"),
    "label": Column("mask", "text"),
    "n": Column("hidden neurons", "count"),
    "error": Column("median error", "error"),
    "low": Column("at least", "error"),
    "high": Column("at most", "error"),
    "proved": Column("proved best", "percent"),
    "time_s": Column("time", "seconds"),
}
FITS = ("exponent", "bits_per_neuron", "power_fits_better")

FOUND = ("error", "proved", "time_s")
Found = tuple[np.ndarray, np.ndarray, float]  # of one curve and n: (R,) errors, whether they are proved, the time


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """One size of the target neuron.

    Attributes:
        inputs: d.
        best: numbers of hidden neurons, ascending, for which the best neuron mask is looked for.
        bound: further ones, for which it is that of small parts of the network.
        part: hidden neurons of such a part.
        weight: numbers of hidden neurons for the weight masks.
    """

    inputs: int
    best: list[int]
    bound: list[int]
    part: int
    weight: list[int]

    def __post_init__(self) -> None:
        checks.integer("inputs", self.inputs, at_least=1, at_most=MOST_INPUTS)
        checks.integer("part", self.part, at_least=1)
        for name in ("best", "bound", "weight"):
            values = getattr(self, name)
            for n in values:
                checks.integer(name, n, at_least=1)
            if sorted(set(values)) != values:
                raise ConfigError(f"{name} must ascend: got {values}")
        if self.bound and self.bound[0] < self.part:
            raise ConfigError(f"parts of {self.part} neurons need networks at least as large: got bound={self.bound}")


@dataclass(frozen=True, kw_only=True)
class NeuronMasks:
    """Errors of the best neuron mask and of a constructed weight mask in the same random networks, as these grow.

    A network is x -> relu(sum_i v_i relu(u_i . x)) with n hidden neurons, the target x -> relu(w . x). The error is the
    largest difference of their outputs over [-1, 1]^d, so that it is no less than any average. Networks of one seed
    grow: the first neurons of a large one are those of a smaller.

    Reference: Ferre, Giroire, Mallmann-Trenn and Natale (arXiv:2603.02234), of which only the abstract was known here:
    neuron masks need Omega(1 / epsilon) hidden neurons, weight masks O(log(1 / epsilon)).

    Attributes:
        numbers: law of every u and v.
        targets: law of every w.
        sizes: of the target neuron, by name.
        networks: random networks, each with a target of its own.
        nodes: of branch and bound for one network, at most; then the best mask so far is a bound.
        tries: parts that are looked at for every bound.
        fit_from: least n that fits see, for each input.
        confidence: of every interval.
        resamples: of the bootstrap over networks.
        solver: of the weight masks' sums, exact.
    """

    numbers: Distribution
    targets: Distribution
    sizes: dict[str, Inputs]
    networks: int
    nodes: int
    tries: int
    fit_from: int
    confidence: float
    resamples: int
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        for name in ("networks", "nodes", "tries", "fit_from", "resamples"):
            checks.integer(name, getattr(self, name), at_least=1)
        checks.fraction("confidence", self.confidence)
        if not self.sizes:
            raise ConfigError("study.sizes must not be empty")

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses any method; see `Study.check`."""
        check_no_methods(methods)

    def amounts(self) -> Mapping[str, float]:
        """Networks; see `Scales`."""
        return {"networks": self.networks}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Every mask for every size and n; see `Study.run`."""
        self.check(methods)
        kept = Points(recorder, f"{self!r} seed {problem.streams.seed}")
        points: list[Point] = []
        summary: dict[str, Any] = {}
        for name, size in self.sizes.items():
            found = self._errors(name, problem.streams, recorder, kept)
            here = [self._point(size, *key, *values) for key, values in found.items()]
            for point in here:
                recorder.metrics(**point)
            points += here
            summary |= self._fits(size, here, found, problem.streams, recorder)
        return Outcome(
            rows=[{**point, "label": LABELS[str(point["curve"])]} for point in points],
            columns=COLUMNS,
            summary=summary,
            points=points,
            figures={"neuron_masks": self._figure()},
        )

    def network(self, streams: Streams, inputs: int, index: int, n: int) -> Network:
        """The first n neurons of a random network."""
        path = ("neuron masks", str(inputs), str(index))
        first = self.numbers.quantile(streams.uniform((*path, "first"), 0, n * inputs)).reshape(n, inputs)
        second = self.numbers.quantile(streams.uniform((*path, "second"), 0, n))
        return Network(first, second, self.targets.quantile(streams.uniform((*path, "target"), 0, inputs)))

    def _errors(self, name: str, streams: Streams, recorder: Recorder, kept: Points) -> dict[tuple[str, int], Found]:
        """By curve and n; a network whose errors an earlier attempt has found is not searched again."""
        size, found = self.sizes[name], dict[tuple[str, int], Found]()

        def follow(curve: str, values: list[int], measure: Callable[[int], list[tuple[float, bool, float]]]) -> None:
            if not values:
                return
            label = f"{LABELS[curve]}, {size.inputs} inputs"
            each: list[Point] = []
            with recorder.progress(label, self.networks * len(values)) as bar:
                for index in range(self.networks):

                    def find(work: Recorder, index: int = index) -> list[dict[str, Any]]:
                        del work
                        network = {"panel": str(size.inputs), "mask": curve, "network": index}
                        lines = zip(values, measure(index), strict=True)
                        return [{**network, "n": n, **dict(zip(FOUND, line, strict=True))} for n, line in lines]

                    each += kept.get(f"{name}, {LABELS[curve]}, network {index}", find)
                    bar.advance(len(values))
            for n in values:
                errors, proved, times = ([point[key] for point in each if point["n"] == n] for key in FOUND)
                found[curve, n] = np.array(errors), np.array(proved), sum(times)

        follow(NEURON, size.best, lambda index: self._best(size, streams, index))
        reached = found[NEURON, size.best[-1]][0] if size.best else np.full(self.networks, np.inf)
        follow(BOUND, size.bound, lambda index: self._bounds(size, streams, index, float(reached[index])))
        follow(WEIGHT, size.weight, lambda index: self._weights(size, streams, index))
        return found

    def _best(self, size: Inputs, streams: Streams, index: int) -> list[tuple[float, bool, float]]:
        """Error, whether it is proved best, and time for every n; a search starts from the smaller network's mask."""
        found, mask = [], np.zeros(0, bool)
        for n in size.best:
            started = time.perf_counter()
            start = np.append(mask, np.zeros(n - len(mask), bool))
            best = best_neurons(self.network(streams, size.inputs, index, n), start, self.nodes)
            mask = best.mask
            found.append((best.error, best.proved, time.perf_counter() - started))
        return found

    def _bounds(self, size: Inputs, streams: Streams, index: int, error: float) -> list[tuple[float, bool, float]]:
        """What its first neurons reach, or random parts of it, a network reaches."""
        found = []
        for n in size.bound:
            started = time.perf_counter()
            network = self.network(streams, size.inputs, index, n)
            generator = streams("neuron masks", str(size.inputs), str(index), "parts", str(n))
            for _ in range(self.tries):
                part = network.part(generator.choice(n, size.part, replace=False))
                error = min(error, best_neurons(part, np.zeros(size.part, bool), self.nodes, error).error)
            found.append((error, False, time.perf_counter() - started))
        return found

    def _weights(self, size: Inputs, streams: Streams, index: int) -> list[tuple[float, bool, float]]:
        found = []
        for n in size.weight:
            started = time.perf_counter()
            error = product_mask_error(self.network(streams, size.inputs, index, n), self.solver)
            found.append((error, False, time.perf_counter() - started))
        return found

    def _point(self, size: Inputs, curve: str, n: int, errors: np.ndarray, proved: np.ndarray, spent: float) -> Point:
        median = order_quantile(errors, 0.5, self.confidence)
        return {
            "panel": str(size.inputs),
            "curve": curve,
            "n": n,
            "error": median.value,
            "low": median.low,
            "high": median.high,
            "proved": float(proved.mean()),
            "time_s": float(spent),
        }

    def _fits(
        self,
        size: Inputs,
        points: Sequence[Point],
        found: Mapping[tuple[str, int], Found],
        streams: Streams,
        recorder: Recorder,
    ) -> dict[str, Any]:
        """Of both forms, for curves of which nothing is left to prove."""
        summary: dict[str, Any] = {}
        for curve in (NEURON, WEIGHT):
            used = [
                int(point["n"])
                for point in points
                if point["curve"] == curve
                and point["n"] >= self.fit_from * size.inputs
                and (curve == WEIGHT or point["proved"] == 1)
            ]
            if len(used) < len(FITS):
                continue
            errors = np.stack([found[curve, n][0] for n in used], axis=1)
            generator = streams("neuron masks", "bootstrap", str(size.inputs), curve)
            fits = bootstrap(errors, forms(np.array(used)), self.resamples, self.confidence, generator)
            recorder.say(f"{size.inputs} inputs, {LABELS[curve]}, n = {used[0]} to {used[-1]}: {told(fits)}")
            for name, fit in zip(FITS, fits, strict=True):
                summary |= fit.flat(f"{size.inputs}/{curve}/{name}")
        return summary

    def _figure(self) -> Description:
        common = {"y": "error", "interval": ["low", "high"], "y_scale": "log", "y_limits": [None, None], "level": None}
        scales = {"linear": "straight for log(1/epsilon)", "log2": "straight for 1/epsilon"}
        return {
            "kind": "panels",
            "labels": LABELS,
            "caption": f"median over {self.networks} random networks, its {100 * self.confidence:g} % interval shaded",
            "panels": [
                {
                    **common,
                    "part": str(size.inputs),
                    "x": "n",
                    "x_scale": scale,
                    "x_label": f"hidden neurons\n({words})",
                    "y_label": f"largest error, d = {size.inputs}",
                    **({} if scale == "linear" else {"curves": [NEURON, BOUND]}),
                }
                for scale, words in scales.items()
                for size in self.sizes.values()
            ],
        }


def forms(n: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Of (R, K) errors at the n: k of epsilon ~ n^-k, b of epsilon ~ 2^(-b n), and whether the first fits better.

    Least-squares lines through the medians' logarithms; better is what leaves the smaller sum of squares.
    """

    def fitted(errors: np.ndarray) -> np.ndarray:
        y = np.log2(np.median(errors, axis=0))
        (power, at), (rate, start) = line(np.log2(n), y), line(n, y)
        left = [np.sum((y - fit) ** 2) for fit in (power * np.log2(n) + at, rate * n + start)]
        return np.array([-power, -rate, float(left[0] < left[1])])

    return fitted


def told(fits: Sequence[Estimate]) -> str:
    """In words. Which form it is counts as told where the interval of the resamples holds one answer alone."""
    exponent, bits, power = fits
    better = {0.0: "log(1/epsilon) fits better", 1.0: "1/epsilon fits better"}
    return f"epsilon ~ n^-k with k = {exponent:.3g}, or 2^(-b n) with b = {bits:.3g}; " + (
        better[power.value] if power.low == power.high else "which of them cannot be told"
    )
