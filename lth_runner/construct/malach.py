"""Malach et al.'s baseline: one random weight for each target weight, the closest there is, or none."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.construct.compensated_sums import masks_by
from lth_runner.construct.compensation import Compensation, check_training_inputs
from lth_runner.construct.prepare import folded
from lth_runner.construct.substitution import (
    SHARING,
    Offer,
    approximated,
    count_offered,
    offered_per_weight,
    substitute,
)
from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.interface import Subsets
from lth_runner.subset_sum.single_best import single_best


@dataclass(frozen=True, kw_only=True)
class Malach:
    """w ~ the closest of n random numbers, or 0 where that is closer.

    Reference: arXiv:2002.00585. Differs from the paper: its theorem matches w with a product of two weights in a
    network twice as deep; here the numbers are offered directly, the very ones `subset_sum` is offered, so that the two
    differ in nothing but the choice.

    Attributes:
        compensate, compensation: see `SubsetSum`.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    epsilon: float
    c: int
    n: int | None
    stored: list[str]
    sharing: str
    compensate: str
    compensation: Compensation
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.choice("sharing", self.sharing, SHARING)
        masks_by(self.compensate, self.compensation)
        offered_per_weight(self.n, self.c, self.epsilon)

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        check_training_inputs(self.compensate, data)
        approximated(folded(network), self.stored)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`."""
        offer = self._offer()
        masks_of = masks_by(self.compensate, self.compensation)
        return substitute(problem, recorder, offer, f"one best of {offer.n}", self._choose, masks_of)

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        return count_offered(network, self._offer())

    def _offer(self) -> Offer:
        n = offered_per_weight(self.n, self.c, self.epsilon)
        return Offer(
            n=n,
            sharing=self.sharing,
            mask="zero_one",
            centred=False,
            match="none",
            matching=None,
            stored=self.stored,
            distribution=self.distribution,
        )

    def _choose(self, values: np.ndarray, targets: np.ndarray) -> Subsets:
        return single_best(values, targets, self.epsilon)
