"""Malach et al.'s Theorem 2.1 as a network: a random one of twice the depth, one path per target weight and sign."""

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
from lth_runner.subset_sum.single_best import single_best


@dataclass(frozen=True, kw_only=True)
class MalachPairs:
    """w ~ the closest of the products b_i a_i, for every target weight w and each sign of its input, or 0 if closer.

    To have one of m independent products within epsilon of w takes m of the order of 1 / epsilon: with U[-1, 1] the
    product has a density, so each is within epsilon with probability of the order of epsilon. (Counting pairs whose two
    factors must each be near a given number instead gives the 1 / epsilon^2 that is quoted of the proof.)

    Reference: arXiv:2002.00585, Theorem 2.1, of which only the construction was known here, not its text. Differs from
    the paper: the hidden neurons of a coordinate are shared by all outputs, as in `Pensia`, so that the two differ in
    nothing but the choice; no gains.
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
        return expand(problem, recorder, layout, f"one best product of {layout.n}", single_best)

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
