"""Multicoated supermasks: several nested masks are added, so that a weight counts once for each that keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.space import SearchSpace
from lth_runner.search.top_fraction import top_masks
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Source


@dataclass(frozen=True, kw_only=True)
class Multicoated(ScoreSearch):
    """C coats over the same scores: coat c keeps the `density` * coats[c] largest |scores|; kept c times, w counts c w.

    The network is that of the architecture with weights w * (m_1 + ... + m_C), each mask within the one before it.
    Straight through every mask dL/dscore = C * dL/dweight * w * sign(score), the sum of what edge-popup has for each;
    one coat is edge-popup. Random are w and the first scores. The ticket stores the seed, and of every weight how many
    coats keep it, 0 to C: log2 (C + 1) bits rounded up, less from the entropy coder.

    Reference: Okoshi et al., ICML 2022, and its published code. Differs from the paper: how many weights each coat
    keeps is given, where the paper has rules for it, which were not read. Weights are as the distribution draws them:
    "scaled" ones, as published, are method.distribution.density equal to method.density.

    Attributes:
        density: what the first coat keeps, / total.
        coats: what each coat keeps of what the first one does: 1 first, then less and less.
        Others: see `ScoreSearch`.
    """

    subset: ClassVar[bool] = False
    coats: list[float]

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.listed("coats", self.coats)
        for share in self.coats:
            checks.fraction("coats", share)
        if not self.coats or self.coats[0] != 1 or sorted(self.coats, reverse=True) != self.coats:
            raise ConfigError(f"coats must begin with 1 and not grow, as [1.0, 0.5, 0.25], got {self.coats}")

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """See `Rule`: int8, how many coats keep each weight."""
        del active
        return torch.stack([top_masks(scores, (kept * share).round().int()) for share in self.coats]).sum(0).char()

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask != 0, weight * mask, 0.0)

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        slope = gradient * weight * scores.sign()
        return len(self.coats) * slope

    def ticket_mask(self, mask: np.ndarray) -> np.ndarray:
        return mask[..., None] > np.arange(len(self.coats))

    def sources(self, space: SearchSpace, masks: Mapping[str, Mask], seed: int) -> dict[str, Source]:
        """The recipes, of which every number is offered to all coats."""
        del masks, seed
        drawn = {name: space.drawn[name] for name in space.scored}
        coated = {name: replace(own, shape=(*own.shape, 1), by_place=True) for name, own in drawn.items()}
        return {**space.weights, **coated}
