"""Gem-Miner: scores in [0, 1] are rounded to a mask, and every few epochs the lowest of them are pruned for good."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.top_fraction import find_cut, kept_count, top_mask
from lth_runner.ticket.mask import Mask

THRESHOLD = 0.5  # scores from here on are rounded up: their weights are used


@dataclass(frozen=True, kw_only=True)
class GemMiner(ScoreSearch):
    """Keeps the weights whose score ends at 1/2 or above, of those that pruning has left: `density` of all, or fewer.

    Loss: cross-entropy + penalty * ||p||^2 over the scores p of active weights; straight through the rounding
    dL/dp = dL/dweight * weight. After every step p is brought back into [0, 1]. After every `period` epochs the active
    weights of lowest p become inactive, p = 0 for ever; a fraction density^(1/rounds) survives each of
    floor((epochs - 1) / period) rounds. Among weights in use of equal p, as those that have come to 1, it is chance who
    survives: in their order whole rows of a layer would go. Fact beside those of every search: `collapsed_layers`, in
    how many layers a weight is left without any kept entry, as happens where the penalty is too large. The facts of the
    best epoch may be those of a mask not yet pruned.

    Reference: Sreenivasan et al., arXiv:2202.12002, Algorithm 1. Differs from the paper: counts are exact (the last
    round leaves round(density * N)); a round follows epoch k * period, in the published code the epoch after it, so
    that training always follows the last one; the ticket is the network before fine-tuning.

    Attributes:
        density: what pruning leaves, / total; the ticket may keep less, and says how much.
        scope: where weights compete when some are pruned; "global" as published. `density` is met there.
        penalty: lambda of the paper.
        period: epochs between two rounds of pruning.
        scores: law of the first scores, on [0, 1].
        Others: see `ScoreSearch`.
    """

    score_range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    penalty: float
    period: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.not_negative("penalty", self.penalty)
        checks.integer("period", self.period, at_least=1)
        if self.period >= self.epochs:
            raise ConfigError(
                f"period={self.period} leaves no round of pruning before the last of epochs={self.epochs}: "
                "set method.period lower or method.epochs higher"
            )

    def decay(self) -> float:
        return 2 * self.penalty + self.weight_decay

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        del kept
        return active & (scores >= THRESHOLD)

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, weight, 0.0)

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        del scores
        return gradient * weight

    def end_epoch(self, epoch: int, scores: torch.Tensor, active: torch.Tensor, density: float) -> torch.Tensor:
        finished, rest = divmod(epoch, self.period)
        rounds = num_rounds(self.epochs, self.period)
        if rest or finished > rounds:
            return active
        found, kept = active.clone(), active.nonzero().flatten()
        found[kept[~survivors(scores[kept], left_active(density, len(scores), finished, rounds), epoch)]] = False
        return found

    def facts(self, masks: Mapping[str, Mask]) -> dict[str, float]:
        empty = {name.rpartition(".")[0] for name, mask in masks.items() if mask.kept() == 0}
        return {"collapsed_layers": len(empty)}


def num_rounds(epochs: int, period: int) -> int:
    """Rounds of pruning: after epoch `period`, 2 * `period`, ..., and at least one epoch follows the last one."""
    return (epochs - 1) // period


def survivors(scores: torch.Tensor, count: int, epoch: int) -> torch.Tensor:
    """Bool (n,): the `count` largest scores, among equal ones below the threshold the first, above it any.

    Args:
        epoch: decides which, and nothing else does.
    """
    if find_cut(scores, count).threshold < THRESHOLD:
        return top_mask(scores, count)
    order = torch.from_numpy(Streams(epoch)("ties").permutation(len(scores)))
    found = torch.empty(len(scores), dtype=torch.bool)
    found[order] = top_mask(scores[order], count)
    return found


def left_active(density: float, size: int, finished: int, rounds: int) -> int:
    """How many of `size` weights are active after so many rounds: a fraction density^(1/rounds) survives each."""
    return kept_count(density ** (finished / rounds), size)
