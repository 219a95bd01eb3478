"""Pensia et al.'s Theorem 1 as a network: a random one of twice the depth, pruned until it computes the target."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.construct.compensation import COMPENSATE, Compensation, check_training_inputs
from lth_runner.construct.expansion import Layout, check_layers, count_offered, expand
from lth_runner.construct.matching import Matching
from lth_runner.construct.substitution import offered_per_weight
from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.activations import Activation
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.interface import OBJECTIVES, Subsets, SubsetSumSolver, check_licence


@dataclass(frozen=True, kw_only=True)
class Pensia:
    """w ~ sum over a subset of hidden neurons i of b_i a_i, for every target weight w and each sign of its input.

    The first weights a of a coordinate are shared by all outputs; each output has second weights b of its own.

    Reference: arXiv:2006.07990, Theorem 1 and Figure 1; da Cunha et al., ICLR 2022, for convolutions; Burkholz, NeurIPS
    2022 (arXiv:2205.02321), for activations other than ReLU, of which the idea was known here, not the proofs. Differs
    from the papers: subset sums are solved exactly for given numbers n and epsilon, where the theorem needs only that n
    can be chosen so large that they exist; biases, gains and the options of `Layout` are additions.

    Attributes:
        objective: "closest" or "sparsest" (fewest paths within epsilon).
        stored: patterns of weight names ("head.*") that are not approximated but stored.
        matching: how large sums are beside the weights, with gains=matched.
        compensate: "inputs": weights of a row take up the errors of those chosen before, see `compensated_paths`, so
            that epsilon is about a weight with what it took up; "none".
        compensation: how.
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
    matching: Matching
    max_paths: int
    compensate: str
    compensation: Compensation
    activation: Activation
    scale: float
    distribution: Distribution
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        checks.choice("compensate", self.compensate, COMPENSATE)
        self._layout()

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        check_training_inputs(self.compensate, data)
        check_layers(network, self.stored)
        check_licence(self.solver, self._layout().most_paths)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`."""
        layout = self._layout()
        label = f"{self.objective} sums of products, n = {layout.n}"
        compensation = self.compensation if self.compensate == "inputs" else None
        return expand(problem, recorder, layout, label, self._choose, compensation)

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        return count_offered(network, self._layout())

    def _layout(self) -> Layout:
        return Layout(
            n=offered_per_weight(self.n, self.c, self.epsilon),
            halves=self.halves,
            signs=self.signs,
            gains=self.gains,
            matching=self.matching,
            max_paths=self.max_paths,
            epsilon=self.epsilon,
            stored=self.stored,
            activation=self.activation,
            scale=self.scale,
            distribution=self.distribution,
        )

    def _choose(self, values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
        return self.solver.solve(values, targets, epsilon, self.objective)
