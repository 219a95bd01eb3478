"""Edge-popup: every random weight gets a score, the scores are trained, and the weights that score highest stay."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.top_fraction import top_masks


@dataclass(frozen=True, kw_only=True)
class EdgePopup(ScoreSearch):
    """The mask keeps the largest |scores|; straight through it, a score's gradient is that of its weight, times it.

    dL/dscore = dL/dweight * weight * sign(score), for weights kept or not. The mask looks at |score|, so what would
    make a weight's presence useful must make |score| grow: the published code lets autograd put the sign there.

    Reference: Ramanujan et al., arXiv:1911.13299. As in the code published with arXiv:2006.07990 but for the random
    numbers and the validation images, which are not trained on.

    Attributes: see `ScoreSearch`.
    """

    compiled_use: ClassVar[str | None] = "weight"

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        del active
        return top_masks(scores, kept)

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, weight, 0.0)

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return gradient * weight * scores.sign()
