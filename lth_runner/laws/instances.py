"""Random SubsetSum instances as each construction meets them: what is drawn, and which of it may be used for a weight.

n counts what a target weight is offered: random weights, each of which could be kept for it and for no other. In the
theorem's network these are the second ones, from the hidden neurons of an input to an output; outputs share the first.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution, Stepped
from lth_runner.laws.poisson.numbers import equally_likely, products

FACTOR_LEVELS = 1 << 9  # numbers that stand for either factor of a product
SIGNS = ("reserved", "as_drawn")


@runtime_checkable
class Law(Protocol):
    """What one target weight is offered. Implementations are frozen keyword-only dataclasses."""

    @property
    def offered_per_draw(self) -> int:
        """By how much n grows when each problem of a weight draws one number more."""
        ...

    @property
    def problems(self) -> int:
        """How many a weight has, all of which must be solved."""
        ...

    @property
    def step(self) -> float | None:
        """Of the grid on which all numbers, and so all sums, lie; None where they lie on none."""
        ...

    def fitted(self, target_range: tuple[float, float] | None) -> "Law":
        """The same law with distributions that copy the target's range fitted to it."""
        ...

    def equally_likely(self) -> np.ndarray:
        """(N,) numbers that stand for what one draw adds to one problem: 0 where it may not be used."""
        ...

    def draw(
        self, streams: Streams, path: tuple[str, ...], count: int, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers `start` to `stop` of each problem of `count` target weights.

        Returns:
            values: (problems, count, stop - start) float64; a weight is solved once each of its problems is.
            usable: the same shape, bool; what is not usable is pruned beforehand.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Direct:
    """Random weights used as they are: Experiment 1 of the paper, and the inner layers of Burkholz's construction."""

    distribution: Distribution

    @property
    def offered_per_draw(self) -> int:
        return 1

    @property
    def problems(self) -> int:
        return 1

    @property
    def step(self) -> float | None:
        return self.distribution.step if isinstance(self.distribution, Stepped) else None

    def fitted(self, target_range: tuple[float, float] | None) -> "Direct":
        return replace(self, distribution=self.distribution.fitted((1, 1), target_range))

    def equally_likely(self) -> np.ndarray:
        return equally_likely(self.distribution)

    def draw(
        self, streams: Streams, path: tuple[str, ...], count: int, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        values = self.distribution.quantile(_levels(streams, (*path, "first"), count, start, stop))[None]
        return values, np.ones(values.shape, bool)


@dataclass(frozen=True, kw_only=True)
class Products:
    """Products b a of the two weights on the path through a hidden neuron, of which relu(a x) keeps those of one sign.

    Positive inputs can use the neurons with a > 0, negative ones those with a < 0; both seek b a ~ w.

    Reference: arXiv:2006.07990, Lemma 1 and Figure 1; the law of b a with half of the neurons lost is that of
    Corollary 1. As in the paper with twin and signs "reserved".

    Attributes:
        twin: whether the input can be negative, so that each weight has two problems.
        signs: "reserved": half of the n neurons are for either sign of the input, those of the wrong sign are lost;
            "as_drawn": every neuron is used for the sign it happens to have.
        distribution: of both weights.
    """

    twin: bool
    signs: str
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.boolean("twin", self.twin)
        checks.choice("signs", self.signs, SIGNS)
        if self.signs == "as_drawn" and not self.twin:
            raise ConfigError("signs=as_drawn needs twin=true: without a twin every neuron is for positive inputs")

    @property
    def offered_per_draw(self) -> int:
        return 2 if self.twin and self.signs == "reserved" else 1

    @property
    def problems(self) -> int:
        return 1 + self.twin

    @property
    def step(self) -> float | None:
        return self.distribution.step**2 if isinstance(self.distribution, Stepped) else None

    def fitted(self, target_range: tuple[float, float] | None) -> "Products":
        return replace(self, distribution=self.distribution.fitted((1, 1), target_range))

    def equally_likely(self) -> np.ndarray:
        factor = equally_likely(self.distribution, FACTOR_LEVELS)
        return products(np.maximum(factor, 0), factor)  # of the twin the same, the distribution being symmetric

    def draw(
        self, streams: Streams, path: tuple[str, ...], count: int, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        neurons = [
            tuple(self.distribution.quantile(_levels(streams, (*path, name), count, start, stop)) for name in names)
            for names in (("first", "second"), ("first of the twin", "second of the twin"))[: 1 + self.twin]
        ]
        if self.signs == "as_drawn":
            neurons = [neurons[0], neurons[0]]
        values = np.stack([first * second for first, second in neurons])
        usable = np.stack([sign * first > 0 for sign, (first, _) in zip((1, -1), neurons, strict=False)])
        return values, usable


def _levels(streams: Streams, path: tuple[str, ...], count: int, start: int, stop: int) -> np.ndarray:
    """(count, stop - start) uniform numbers, the same whether they are asked for at once or bit by bit."""
    return streams.uniform(path, start * count, (stop - start) * count).reshape(-1, count).T
