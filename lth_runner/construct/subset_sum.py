"""Pensia et al.'s Experiment 1: each target weight becomes the sum of a subset of random weights."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.construct.compensated_sums import masks_by
from lth_runner.construct.compensation import Compensation, check_training_inputs
from lth_runner.construct.matching import Matching
from lth_runner.construct.prepare import folded
from lth_runner.construct.substitution import (
    Offer,
    approximated,
    count_offered,
    offered_per_weight,
    substitute,
)
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.interface import OBJECTIVES, Subsets, SubsetSumSolver, check_licence, check_size


@dataclass(frozen=True, kw_only=True)
class SubsetSum:
    """w ~ sum of a subset of n random numbers, for every weight w of the target.

    Reference: arXiv:2006.07990, Experiment 1. Differs from the paper: solved exactly instead of to a MIP gap of 1 %;
    `sharing=weight` draws fresh numbers for each weight, as the paper says, where its published code shares one vector
    per output row (`sharing=row`); an instance that no subset solves is counted, where the published code stops.

    Attributes:
        objective: "closest" or "sparsest" (fewest terms within epsilon).
        mask: "zero_one", "signs" or "signed": see `Offer`, which says what network each of them is. All are solved as
            exactly: the signed sum closest to w is that of the subset of the 2 a_j closest to w + sum_j a_j; and
            signs with zeros are a subset of the 2 n numbers a_j and -a_j.
        centred, match, matching: see `Offer`.
        threshold_small: weights with |w| <= epsilon get the empty subset, as the published code's --check_w_lt_eps.
        compensate: "inputs": weights of a row take up the errors of those chosen before, so that epsilon is about a
            weight with what it took up; "none".
        compensation: how.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    objective: str
    epsilon: float
    c: int
    n: int | None
    stored: list[str]
    sharing: str
    mask: str
    centred: bool
    match: str
    matching: Matching
    threshold_small: bool
    compensate: str
    compensation: Compensation
    distribution: Distribution
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        checks.boolean("threshold_small", self.threshold_small)
        offer = self._offer()
        if self.threshold_small and (self.mask == "signs" or self.centred):
            raise ConfigError("threshold_small needs empty subsets to be 0, as with mask=zero_one: set one of the two")
        masks_by(self.compensate, self.compensation)
        check_size(self.solver, offer.values)

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        check_training_inputs(self.compensate, data)
        approximated(folded(network), self.stored)
        check_licence(self.solver, self._offer().values)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`."""
        offer = self._offer()
        masks_of = masks_by(self.compensate, self.compensation)
        return substitute(problem, recorder, offer, f"{self.objective} subsets, n = {offer.n}", self._choose, masks_of)

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        return count_offered(network, self._offer())

    def _offer(self) -> Offer:
        n = offered_per_weight(self.n, self.c, self.epsilon)
        return Offer(
            n=n,
            sharing=self.sharing,
            mask=self.mask,
            centred=self.centred,
            match=self.match,
            matching=self.matching,
            stored=self.stored,
            distribution=self.distribution,
        )

    def _choose(self, values: np.ndarray, targets: np.ndarray) -> Subsets:
        if not self.threshold_small:
            return self.solver.solve(values, targets, self.epsilon, self.objective)
        large = np.abs(targets) > self.epsilon
        chosen = np.zeros((targets.size, values.shape[1]), dtype=bool)
        error, status = np.abs(targets), np.zeros(targets.size, dtype=np.uint8)  # the empty subset, within epsilon
        if large.any():
            offered = values if values.shape[0] == 1 else values[large]
            answer = self.solver.solve(offered, targets[large], self.epsilon, self.objective)
            chosen[large], error[large], status[large] = answer.chosen, answer.error, answer.status
        return Subsets(chosen, error, status)
