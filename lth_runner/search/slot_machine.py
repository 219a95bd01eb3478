"""Slot machines: every connection chooses one of K random numbers, that of the highest score."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.space import SearchSpace
from lth_runner.search.top_fraction import top_masks
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Source


@dataclass(frozen=True, kw_only=True)
class SlotMachine(ScoreSearch):
    """A connection has the number of its highest score; the first of equals.

    The network is that of the architecture with weights w[k*], k* = argmax_k s[k], over K random numbers w[k] for each
    connection; straight through the choice dL/ds[k] = dL/dweight * w[k], for numbers chosen or not. Random are the
    numbers and the first scores. The ticket stores the seed and k* of every connection: log2 K bits a weight, rounded
    up to a whole number but for the entropy coder. Below a `density` of 1 the connections whose highest scores are the
    lowest have none of their numbers, which is one more state.

    Reference: Aladago and Torresani, arXiv:2101.06475, with greedy selection. Differs from the paper: a density of less
    than 1 prunes, too; the learning rate follows the cosine of all searches here, without warm restarts; the ticket is
    that of the last epoch. The laws of numbers and scores stand in the method's file.

    Attributes:
        density: connections that have one of their numbers, / total; 1 as published.
        scope: where connections compete for it.
        values: K, numbers for each connection.
        scores: law of the first scores, not negative as published, independent for all numbers.
        Others: see `ScoreSearch`.
    """

    subset: ClassVar[bool] = False
    scores_each: ClassVar[bool] = True
    values: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("values", self.values, at_least=1, at_most=255)

    def numbers(self) -> int:
        return self.values

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        del active
        each = scores.view(len(scores), -1, self.values)  # (R, places, K)
        highest, best = each.max(dim=2)
        connected = top_masks(highest - highest.amin(dim=1, keepdim=True), kept)  # (R, places), of sizes from 0 on
        found = torch.zeros_like(each, dtype=torch.bool)
        return found.scatter_(2, best[..., None], connected[..., None]).flatten(1)

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, weight, 0.0).view(len(weight), -1, self.values).sum(dim=2)

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        del scores
        return gradient.repeat_interleave(self.values, dim=1) * weight

    def sources(self, space: SearchSpace, masks: Mapping[str, Mask], seed: int) -> dict[str, Source]:
        """The recipes, which are masked place by place."""
        del masks, seed
        return {**space.weights, **{name: replace(space.drawn[name], by_place=True) for name in space.scored}}
