"""Bernoulli gates: every number is kept with a probability of its own, and the probabilities are trained."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from lth_runner.core import checks
from lth_runner.core.streams import Streams
from lth_runner.laws.sum_search.interface import Chosen, Sums, kept


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Gradient descent on the expected loss over masks m_ij ~ Bernoulli(p_ij), p = sigmoid(score); p > 1/2 is kept.

    E[loss] = e^T M e + sum_ij M_ii p_ij (1 - p_ij) a_ij^2, with e_i = sum_j p_ij a_ij - w_i and M = E[x x^T].

    Reference: Zhou et al., arXiv:1905.01067. Differs from the paper: the expectation is worked out, where the paper
    trains on a mask drawn at every step.

    Attributes:
        steps: of gradient descent.
        learning_rate: on the scores.
        spread: the first scores are normal with this standard deviation.
    """

    steps: int
    learning_rate: float
    spread: float

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps, at_least=1)
        checks.positive("learning_rate", self.learning_rate)
        checks.not_negative("spread", self.spread)

    def find(self, sums: Sums, streams: Streams) -> Chosen:
        scores = self.spread * streams("gates").standard_normal(sums.values.shape)
        for _ in range(self.steps):
            p = expit(scores)
            scores -= self.learning_rate * slope(sums, p) * p * (1 - p)
        return kept(sums, scores > 0)


def slope(sums: Sums, p: np.ndarray) -> np.ndarray:
    """(R, d, n): the expected loss by every p."""
    power = 1.0 if sums.moments is None else np.diag(sums.moments)[:, None]
    errors = (sums.values * p).sum(axis=2) - sums.targets
    return 2 * sums.seen(errors)[..., None] * sums.values + power * (1 - 2 * p) * sums.values**2
