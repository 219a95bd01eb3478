"""Signed supermasks: a random weight is kept as it is, kept with its sign turned, or pruned."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.space import SearchSpace
from lth_runner.search.top_fraction import top_masks
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Source


@dataclass(frozen=True, kw_only=True)
class SignedSupermask(ScoreSearch):
    """Keeps the largest |scores|; a kept weight w counts as w where its score is positive, as -w where it is negative.

    The network is that of the architecture with weights w * m, m in {-1, 0, 1}; straight through the mask dL/dscore =
    dL/dweight * w. Random are w and the first scores. The ticket stores the seed, and of every weight which of w and -w
    is kept, if any: 2 bits, and from the entropy coder the entropy of m, at most log2 3 = 1.58 bits; one bit is spent
    where 22.7 % of the weights are kept, half of them turned.

    Reference: Koster, Grothe and Rettinger, ICLR 2022, "Signing the supermask: keep, hide, invert". Differs from the
    paper: as many weights are kept as `density` says, where the paper cuts at a fixed |score| and leaves the number to
    a schedule of weight decay; the two signs compete with each other, where the published variant with a fixed number
    keeps as many of each, estimated from 5,000 scores; activations are the network's own, ELU in the paper.

    Attributes: see `ScoreSearch`.
    """

    subset: ClassVar[bool] = False

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """See `Rule`: int8, -1, 0 or 1."""
        del active
        return torch.where(top_masks(scores, kept), torch.where(scores < 0, -1, 1), 0).to(torch.int8)

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask != 0, weight * mask, 0.0)

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        del scores
        return gradient * weight

    def ticket_mask(self, mask: np.ndarray) -> np.ndarray:
        return np.stack((mask > 0, mask < 0), axis=-1)

    def sources(self, space: SearchSpace, masks: Mapping[str, Mask], seed: int) -> dict[str, Source]:
        """The recipes with every number of scored weights twice, as it is and negated."""
        del masks, seed
        drawn = {name: space.drawn[name] for name in space.scored}
        signed = {name: replace(own, shape=(*own.shape, 2), mirrored=True) for name, own in drawn.items()}
        return {**space.weights, **signed}
