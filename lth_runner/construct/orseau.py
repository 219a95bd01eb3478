"""Orseau et al.'s construction as a network: a random one of twice the depth, a path per golden-ratio digit."""

from dataclasses import dataclass
from typing import ClassVar

from lth_runner.construct.expansion import Layout, check_layers, count_offered, expand
from lth_runner.construct.substitution import offered_per_weight
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.activations import RELU
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.golden_ratio import golden_ratio


@dataclass(frozen=True, kw_only=True)
class Orseau:
    """w ~ sum of products b_i a_i, at most one for each digit of |w| in the golden ratio; weights hyperbolic.

    `golden_ratio` derives why one product anywhere in the interval of each digit is enough. The logarithm of a product
    of two hyperbolic weights has a triangular density, so that with enough neurons every interval within its range gets
    one: no interval is much rarer than the others, unlike with uniform weights, whose small products are rare.

    Reference: arXiv:2006.12156, of which only the ingredients were known here, not its theorem. Differs from the paper:
    all outputs and all digits share the hidden neurons of a coordinate, but each product is two weights drawn for it
    alone (the second is fresh for every output), so there is no batch of virtual weights to sample from; no gains.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    epsilon: float
    c: int
    n: int | None
    stored: list[str]
    halves: str
    signs: str
    distribution: Distribution

    def __post_init__(self) -> None:
        self._layout()

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        del data
        check_layers(network, self.stored)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`."""
        layout = self._layout()
        return expand(problem, recorder, layout, f"golden-ratio digits, n = {layout.n}", golden_ratio)

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        return count_offered(network, self._layout())

    def _layout(self) -> Layout:
        n = offered_per_weight(self.n, self.c, self.epsilon)
        return Layout(
            n=n,
            halves=self.halves,
            signs=self.signs,
            gains="none",
            matching=None,
            max_paths=2 * n,
            epsilon=self.epsilon,
            stored=self.stored,
            activation=RELU,
            scale=1.0,
            distribution=self.distribution,
        )
