"""Pensia et al.'s Theorem 1 as a network: a random one of twice the depth, pruned until it computes the target."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.construct.expansion import Layout, check_layers, count_offered, expand
from lth_runner.construct.substitution import offered_per_weight
from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.interface import OBJECTIVES, Subsets, SubsetSumSolver, check_licence


@dataclass(frozen=True, kw_only=True)
class Pensia:
    """w ~ sum over a subset of hidden neurons i of b_i a_i, for every target weight w and each sign of its input.

    The first weights a of a coordinate are shared by all outputs; each output has second weights b of its own.

    Reference: arXiv:2006.07990, Theorem 1 and Figure 1; da Cunha et al., ICLR 2022, for convolutions. Differs from the
    paper: subset sums are solved exactly for given numbers n and epsilon, where the theorem needs only that n can be
    chosen so large that they exist; biases, gains and the options of `Layout` are additions.

    Attributes:
        objective: "closest" or "sparsest" (fewest paths within epsilon).
        stored: patterns of weight names ("head.*") that are not approximated but stored.
        others: see `Layout`.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    objective: str
    epsilon: float
    c: int
    n: int | None
    stored: list[str]
    halves: str
    signs: str
    gains: str
    max_paths: int
    distribution: Distribution
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        self._layout()

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        del data
        check_layers(network, self.stored)
        check_licence(self.solver, self._layout().most_paths)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`."""
        layout = self._layout()
        return expand(problem, recorder, layout, f"{self.objective} sums of products, n = {layout.n}", self._choose)

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        return count_offered(network, self._layout())

    def _layout(self) -> Layout:
        return Layout(
            n=offered_per_weight(self.n, self.c, self.epsilon),
            halves=self.halves,
            signs=self.signs,
            gains=self.gains,
            max_paths=self.max_paths,
            epsilon=self.epsilon,
            stored=self.stored,
            distribution=self.distribution,
        )

    def _choose(self, values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
        return self.solver.solve(values, targets, epsilon, self.objective)
