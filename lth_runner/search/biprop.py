"""Biprop: edge-popup for networks whose weights have one size per layer, so that a weight is no more than its sign."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.interface import Distribution
from lth_runner.distributions.signs import Signs
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.space import SearchSpace
from lth_runner.search.top_fraction import top_masks
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source

LEVELS = (np.arange(64) + 0.5) / 128  # below 1/2, where a law's quantiles are compared with those above


@dataclass(frozen=True, kw_only=True)
class Biprop(ScoreSearch):
    """The mask keeps the largest |scores|; a kept weight w counts as sign(w) * alpha, alpha = mean |w| of those kept.

    There is one alpha per weight tensor, worked out after every step, and a score's gradient is edge-popup's at these
    weights: sign(w) leads back to |w|, as in the published code. The ticket's random network has weights -alpha and
    +alpha, with the signs of the ones drawn, of the last alpha; a tensor of which nothing is kept stays as drawn.

    Reference: Diffenderfer and Kailkhura, arXiv:2103.09377, with activations of full precision (MPT-1/32). Differs from
    the paper: `scope: global` cuts at its density from the first step on, where the published code comes down to it
    over ten epochs.

    Attributes: see `ScoreSearch`.
    """

    compiled_use: ClassVar[str | None] = "sign"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _symmetric(self.distribution.fitted((1, 1), None)):
            raise ConfigError(
                f"biprop needs a distribution that is symmetric about 0 and never 0, got {self.distribution!r}: "
                "set method/distribution=kaiming_normal"
            )

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        del active
        return top_masks(scores, kept)

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        exact = torch.float32 if weight.device.type == "mps" else torch.float64  # mps has no float64
        total = torch.where(mask, weight.abs(), 0.0).sum(dim=1, keepdim=True, dtype=exact)
        size = (total / mask.sum(dim=1, keepdim=True).clamp(min=1)).to(weight.dtype)
        return torch.where(mask, torch.where(weight < 0, -size, size), 0.0)

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return gradient * weight * scores.sign()

    def sources(self, space: SearchSpace, masks: Mapping[str, Mask], seed: int) -> dict[str, Source]:
        """The recipes with the law of each weight that has scores replaced by the signs that the training used."""
        signs = {name: _signs(space.drawn[name], masks[name], seed) for name in space.scored if masks[name].kept()}
        return {**space.weights, **signs}


def _symmetric(law: Distribution) -> bool:
    below, above = law.quantile(LEVELS), law.quantile(1 - LEVELS)
    return bool(np.allclose(below, -above, rtol=1e-9, atol=0) and (below < 0).all())


def _signs(tensor: Drawn, mask: Mask, seed: int) -> Drawn:
    """The recipe of the tensor's signs, times the mean size of its kept entries."""
    weight = tensor.draw(seed).astype(np.float32)  # as it was trained on
    size = np.abs(weight[mask.dense()]).mean(dtype=np.float64)
    signs = replace(tensor, distribution=Signs(size=float(size)), scale=1.0)
    if not np.array_equal(signs.draw(seed) < 0, weight < 0):
        raise ConfigError(
            f"biprop needs weights whose law is symmetric about 0 and never 0, got {tensor.distribution!r}"
        )
    return signs
