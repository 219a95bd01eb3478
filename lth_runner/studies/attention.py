"""Errors of random attentions and blocks, pruned to a target's, against their width and the number of tokens."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import layer_norm

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.laws.curve import check_no_methods
from lth_runner.laws.poisson.averaged import error_quantile
from lth_runner.laws.poisson.numbers import equally_likely, moments, products
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import filled, state_shapes
from lth_runner.networks.merged_attention import MergedAttention
from lth_runner.networks.vit import EncoderBlock
from lth_runner.problem import Method, Problem
from lth_runner.record.points import Point, Points
from lth_runner.report.points import Description
from lth_runner.report.tables import Column, Row
from lth_runner.studies.slopes import Slope, exponential, power
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import Materialised, approximated_by, materialise
from lth_runner.ticket.names import recipe

LAW = "Poisson law, median entry"
BLOCK, NORMED = "block", "block with layer norms"
FACTORS, ENTRIES = 256, 200  # numbers of each factor, and entries of products, over which the law averages
MEASURES = {
    "entry": "median entry",
    "largest_entry": "largest entry",
    "output": "output, relative",
    "largest_output": "output, largest",
    "norm": "output behind a layer norm, relative",
    "residual": "layer norm of input and output, relative",
}
NORMS = {"output": "output", "norm": "layer norm of the output", "residual": "layer norm of input and output added"}
COLUMNS = {
    "curve": Column("method", "text"),
    "network": Column("network", "text"),
    "measure": Column("error of", "text"),
    "drawn": Column("weights drawn, largest n", "count"),
    "error": Column("error there", "error"),
    "bits": Column("bits for each product", "number"),
    "low": Column("at least", "number"),
    "high": Column("at most", "number"),
    "power": Column("power of the number of tokens", "number"),
    "power_low": Column("at least", "number"),
    "power_high": Column("at most", "number"),
}


class Tokens(torch.nn.Module):
    """Attention of tokens to each other, (N, T, width), and nothing else."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def block(width: int, heads: int, hidden: int, norms: bool) -> torch.nn.Module:
    """A transformer's block, with its layer norms or without."""
    module: torch.nn.Module = EncoderBlock(width, heads, hidden)
    for name in () if norms else ("norm1", "norm2"):
        setattr(module, name, torch.nn.Identity())
    return module


@dataclass(frozen=True, kw_only=True)
class AttentionErrors:
    """Tickets of one attention, or one block, with normal weights of variance 1 / inputs, on tokens from N(0, 1).

    Slopes are those of the logarithm of an error over n, one line for each seed; the law is that of method `law`, whose
    entries are sums of n products of two numbers each.

    Attributes:
        methods: by name; each has a setting n.
        width: of a token; heads: how many, one target each; hidden: neurons of a block's two layers.
        values: of n, ascending; slopes go from `fit_from` on.
        length, lengths: tokens of a sequence where n varies, and where it does not.
        length_n: n where the length varies.
        norm_heads: heads of the blocks, and of the panel that shows layer norms for method `law`.
        tokens: of all sequences of one length together.
        repeats: seeds, counted from the run's own: of target, random network and tokens.
        confidence: of the slopes' intervals.
        law: the method for which the law is drawn; numbers: the distribution of both its factors.
        labels: what methods are called.
    """

    methods: dict[str, Any]
    width: int
    heads: list[int]
    hidden: int
    values: list[int]
    fit_from: int
    length: int
    lengths: list[int]
    length_n: int
    norm_heads: int
    tokens: int
    repeats: int
    confidence: float
    law: str
    numbers: Distribution
    labels: dict[str, str]

    def __post_init__(self) -> None:
        for name in ("width", "hidden", "fit_from", "length", "length_n", "tokens", "repeats"):
            checks.integer(f"study.{name}", getattr(self, name), at_least=1)
        for heads in self.heads:
            checks.integer("study.heads", heads, at_least=1)
            if self.width % heads:
                raise ConfigError(f"study.width={self.width} must be a multiple of all study.heads, and {heads} is one")
        checks.choice("study.norm_heads", str(self.norm_heads), map(str, self.heads))
        if max([self.length, *self.lengths]) > self.tokens:
            raise ConfigError(f"study.tokens={self.tokens} are too few for one sequence of each of study.lengths")
        checks.choice("study.law", self.law, self.methods)
        for name, method in self.methods.items():
            if "n" not in recipe(method):
                raise ConfigError(f"this study varies n, which is no setting of study.methods.{name}")

    def check(self, methods: Mapping[str, Method]) -> None:
        """Refuses methods other than the study's own; see `Study.check`."""
        check_no_methods(methods)

    def amounts(self) -> Mapping[str, float]:
        """Seeds; see `Scales`."""
        return {"repeats": self.repeats}

    def run(self, problem: Problem, methods: Mapping[str, Method], recorder: Recorder) -> Outcome:
        """Every method, network and seed in turn."""
        self.check(methods)
        kept, found = Points(recorder, repr(self)), list[Point]()
        places = [(name, network) for name in self.methods for network in self.networks()]
        for seed in range(problem.streams.seed, problem.streams.seed + self.repeats):
            for name, network in places:

                def find(work: Recorder, name: str = name, network: str = network, seed: int = seed) -> list[Point]:
                    return self._measured(name, network, replace(problem, streams=Streams(seed)), work)

                found += kept.get(f"{self._label(name)}, {network}, seed {seed}", find)
        rows = [row for name, network in places for row in self._rows(name, network, found)]
        return Outcome(
            rows=rows,
            columns=COLUMNS,
            summary={
                f"{row['curve']}/{row['network']}/{row['measure']}/{key}": row[key]
                for row in rows
                for key in ("error", "bits", "power")
                if key in row
            },
            points=self._drawn(found),
            figures={"attention": self._figure(problem)},
        )

    def _label(self, name: str) -> str:
        return self.labels.get(name, name)

    def networks(self) -> dict[str, torch.nn.Module]:
        """By what they are called: attentions by their heads, then blocks."""
        alone = {_heads(heads): Tokens(self.width, heads) for heads in self.heads}
        sizes = self.width, self.norm_heads, self.hidden
        return alone | {name: block(*sizes, norms=name == NORMED) for name in (BLOCK, NORMED)}

    def posed(self, network: str, problem: Problem) -> Problem:
        """The problem of one target, drawn from the problem's streams; its layer norms are as torch has them."""
        module = Instance.of(self.networks()[network])

        def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
            if "norm" in name:
                return np.full(shape, float(name.endswith("weight")))
            inputs = shape[-1] if len(shape) > 1 else self.width
            return problem.streams("attention", network, name).normal(0.0, inputs**-0.5, shape)

        target = {name: drawn(name, shape) for name, shape in state_shapes(module).items()}
        return replace(problem, network=module, target=target, data=None)

    def _measured(self, name: str, network: str, problem: Problem, recorder: Recorder) -> list[Point]:
        """A point for every n at one length, and for every length at one n."""
        posed, place = self.posed(network, problem), {"curve": name, "network": network}
        architecture, target = posed.need("network", "target")
        exact = filled(architecture, target, torch.float64)
        points: list[Point] = []
        for n in sorted({*self.values, self.length_n}):
            found = materialise(replace(self.methods[name], n=n).find(posed, recorder).ticket)
            own, module = entry_errors(found, target), found.module(torch.float64)
            for length in [self.length] if n != self.length_n else sorted({self.length, *self.lengths}):
                errors = own | output_errors(module, exact, self._sequences(problem.streams, length))
                points.append({**place, "n": n, "length": length, **errors, "seed": problem.streams.seed})
        return points

    def _sequences(self, streams: Streams, length: int) -> torch.Tensor:
        """(N, length, width): the first tokens are the same for every length."""
        count = self.tokens // length
        tokens = streams("tokens").normal(size=(count * length, self.width))
        return torch.from_numpy(tokens).reshape(count, length, self.width)

    def _rows(self, name: str, network: str, points: Sequence[Point]) -> list[Row]:
        """One for each kind of error."""
        own = [point for point in points if (point["curve"], point["network"]) == (name, network)]
        at_length = [point for point in own if point["length"] == self.length and point["n"] in self.values]
        steep = [point for point in at_length if point["n"] >= self.fit_from]
        long = [point for point in own if point["n"] == self.length_n and point["length"] in self.lengths]
        rows = []
        for measure, label in MEASURES.items():
            last = float(np.median([point[measure] for point in at_length if point["n"] == max(self.values)]))
            bits = exponential(*_curves(steep, "n", measure), self.confidence)
            drawn = max(point["drawn"] for point in at_length)
            row = {"curve": self._label(name), "network": network, "measure": label, "drawn": drawn, "error": last}
            row |= _interval(bits, ("bits", "low", "high"), -1 / math.log(2))
            if "entry" not in measure:
                slope = power(*_curves(long, "length", measure), self.confidence)
                row |= _interval(slope, ("power", "power_low", "power_high"), 1.0)
            rows.append(row)
        return rows

    def _drawn(self, points: Sequence[Point]) -> list[Point]:
        """All points, and their medians over the seeds by panel: against n, the length, and n with layer norms."""
        drawn = [{"panel": "measured", **point} for point in points]
        for point in _medians(points):
            named = {**point, "curve": _curve(point["curve"], point["network"])}
            if point["length"] == self.length and point["n"] in self.values:
                drawn.append({"panel": "n", **named})
            if point["n"] == self.length_n and point["length"] in self.lengths:
                drawn.append({"panel": "length", **named})
        own = {"panel": "n", "curve": _curve(self.law, _heads(self.norm_heads))}
        law = [point for point in drawn if own.items() <= point.items()]
        return drawn + [
            {**point, "panel": "norm", "curve": measure, "output": point[measure]} for point in law for measure in NORMS
        ]

    def _figure(self, problem: Problem) -> Description:
        others = [name for name in self.methods if name != self.law]
        main = [_curve(self.law, _heads(heads)) for heads in self.heads]
        several = [*main, *(_curve(name, _heads(self.norm_heads)) for name in others)]
        blocks = [_curve(self.law, BLOCK), *(_curve(name, NORMED) for name in self.methods)]
        labels = {
            _curve(n, network): f"{self._label(n)}, {network}" for n in self.methods for network in self.networks()
        }
        labels = {curve: label for curve, label in labels.items() if curve in {*several, *blocks}}
        shown = {"y_scale": "log", "y_limits": [None, None], "level": None}
        by_n = {**shown, "x": "n", "x_scale": "linear"}
        by_n["x_label"] = f"n, products for each entry\n(keys and values of width {self.width + 1} n)"
        relative, where = "relative error of the output", f"{self.length} tokens"
        return {
            "kind": "panels",
            "labels": labels | NORMS,
            "caption": f"Tokens of {self.width} numbers; medians over {self.repeats} seeds.",
            "panels": [
                {**by_n, "part": "n", "curves": main, "y": "entry", "y_label": "median error of an entry",
                 "formulas": {LAW: [[float(n) for n in self.values], self._law(problem)]}},
                {**by_n, "part": "n", "curves": several, "y": "output", "y_label": f"{relative}\n({where})"},
                {**shown, "part": "length", "curves": several, "x": "length", "x_scale": "log2", "y": "output",
                 "x_label": f"tokens of a sequence (n = {self.length_n})", "y_label": relative},
                {**by_n, "part": "norm", "y": "output",
                 "y_label": f"relative error\n({_heads(self.norm_heads)}, {where})"},
                {**by_n, "part": "n", "curves": blocks, "y": "output",
                 "y_label": f"relative error of a block\n({_heads(self.norm_heads)}, {where})"},
            ],
        }  # fmt: skip

    def _law(self, problem: Problem) -> list[float]:
        """The median error of an entry at every n, of the first target with `norm_heads` heads."""
        network, target = self.posed(_heads(self.norm_heads), problem).need("network", "target")
        entries = np.concatenate([part.ravel() for part in MergedAttention(original=network).folded(target).values()])
        typical = np.quantile(entries, (np.arange(ENTRIES) + 0.5) / ENTRIES)
        factor = equally_likely(self.numbers, FACTORS)
        number = moments(products(factor, factor))
        return [error_quantile(n, number, typical, 0.5) for n in self.values]


def entry_errors(network: Materialised, target: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The median and the largest error of what stands for the target's numbers; random numbers drawn, and kept."""
    exact = approximated_by(network.ticket, target)
    errors = np.concatenate([np.abs(found - exact[name]).ravel() for name, found in network.readings.items()])
    counts = {"drawn": network.ticket.drawn(), "kept": network.ticket.kept()}
    return {"entry": float(np.median(errors)), "largest_entry": float(errors.max()), **counts}


@torch.no_grad()
def output_errors(found: torch.nn.Module, exact: torch.nn.Module, tokens: torch.Tensor) -> dict[str, float]:
    """Of the outputs the relative error, root of the sum of squares over that of the target's, and the largest one.

    `norm`: the same of a layer norm of the output, `residual`: of a layer norm of tokens and output added.
    """
    pair = found(tokens), exact(tokens)
    shape = tokens.shape[-1:]
    behind = {
        "output": pair,
        "norm": [layer_norm(y, shape) for y in pair],
        "residual": [layer_norm(tokens + y, shape) for y in pair],
    }
    errors = {name: float((ours - theirs).norm() / theirs.norm()) for name, (ours, theirs) in behind.items()}
    return errors | {"largest_output": float((pair[0] - pair[1]).abs().max())}


def _medians(points: Sequence[Point]) -> list[Point]:
    """Over the seeds."""
    keys, groups = ("curve", "network", "n", "length"), dict[tuple[Any, ...], list[Point]]()
    for point in points:
        groups.setdefault(tuple(point[key] for key in keys), []).append(point)
    medians = [
        {measure: float(np.median([p[measure] for p in same])) for measure in MEASURES} for same in groups.values()
    ]
    return [dict(zip(keys, key, strict=True)) | found for key, found in zip(groups, medians, strict=True)]


def _curves(points: Sequence[Point], x: str, y: str) -> tuple[list[float], list[list[float]]]:
    """The values of x, and those of y at each, seed by seed."""
    at = {(point["seed"], point[x]): point[y] for point in points}
    values, seeds = (sorted({key[i] for key in at}) for i in (1, 0))
    return [float(value) for value in values], [[at[seed, value] for value in values] for seed in seeds]


def _interval(slope: Slope | None, names: tuple[str, str, str], factor: float) -> dict[str, float | None]:
    """A slope and its interval, times a factor."""
    if slope is None:
        return dict.fromkeys(names)
    ends = [None if end is None else factor * end for end in (slope.low, slope.high)]
    low, high = ends if factor > 0 else ends[::-1]
    return dict(zip(names, (factor * slope.value, low, high), strict=True))


def _curve(name: str, network: str) -> str:
    return f"{name}, {network}"


def _heads(count: int) -> str:
    return f"{count} head{'s' if count > 1 else ''}"
