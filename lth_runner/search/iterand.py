"""IteRand: edge-popup that draws some of the pruned weights anew, every so many steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.streams import Streams
from lth_runner.search.rule import Change
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.space import SearchSpace
from lth_runner.search.top_fraction import top_masks
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Source


@dataclass(frozen=True, kw_only=True)
class IteRand(ScoreSearch):
    """Edge-popup whose weights have `draws` random numbers each: a pruned one goes on to its next, now and then.

    Before steps `period`, 2 * `period`, ... every weight that is pruned goes on to its next number with the given
    probability, until its numbers are used up; its score stays. Mask and scores are edge-popup's, and with probability
    0, or one draw, all is. The network is that of the architecture with weights w[r] * m, r how often a weight was
    drawn anew. Random are the numbers, the first scores, and which weights go on. The ticket stores the seed, and of
    every weight that it is pruned, or r: entropy-coded H2(density) + density * entropy(r) bits a weight.

    Reference: Chijiwa et al., arXiv:2106.09269, Algorithm 1, and its published code, whose rate of re-randomisation is
    1: all pruned weights take part. Differs from the paper: a weight has at most `draws` numbers; the mask looks at
    |score| as that of edge-popup here, in the published code at the score.

    Attributes:
        period: steps between two drawings.
        probability: with which a pruned weight is drawn anew.
        draws: numbers of each weight, the first one included.
        Others: see `ScoreSearch`.
    """

    subset: ClassVar[bool] = False
    period: int
    probability: float
    draws: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("period", self.period, at_least=1)
        checks.fraction("probability", self.probability)
        checks.integer("draws", self.draws, at_least=1, at_most=255)

    def numbers(self) -> int:
        return self.draws

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        del active
        return top_masks(scores, kept)

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, weight, 0.0)

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return gradient * weight * scores.sign()

    def change(self, networks: Sequence[ScoredNetwork], device: str) -> Change:
        return _Redrawn(networks, self.period, self.probability, device)

    def ticket_mask(self, mask: np.ndarray) -> np.ndarray:
        return mask[..., None] == 1 + np.arange(self.draws)

    def sources(self, space: SearchSpace, masks: Mapping[str, Mask], seed: int) -> dict[str, Source]:
        """The recipes, which are masked place by place."""
        del masks, seed
        return {**space.weights, **{name: replace(space.drawn[name], by_place=True) for name in space.scored}}


class _Redrawn:
    """Which of its numbers each weight of R runs has. The chances are the same in all runs.

    Attributes:
        weights: (R, N), those numbers.
    """

    noise = None

    def __init__(self, networks: Sequence[ScoredNetwork], period: int, probability: float, device: str) -> None:
        numbers = [torch.cat([each.numbers[name].flatten(0, -2) for name in each.columns]) for each in networks]
        self._numbers = torch.stack(numbers).to(device)  # (R, N, draws)
        self.weights = self._numbers[..., 0].clone()
        self._times = torch.zeros(self.weights.shape, dtype=torch.int64, device=device)  # drawn anew
        self._steps = torch.zeros((), dtype=torch.int64)
        self._period, self._probability = period, probability
        self._streams = Streams(networks[0].seed)

    def before_step(self, masks: Callable[[], torch.Tensor]) -> bool:
        step = int(self._steps)
        self._steps += 1
        if step == 0 or step % self._period:
            return False
        chance = self._streams.uniform(("redraw", str(step)), 0, self.weights.shape[1]) < self._probability
        again = torch.from_numpy(chance).to(self.weights.device) & ~masks()
        self._times.add_(again).clamp_(max=self._numbers.shape[2] - 1)
        self.finish()
        return True

    def finish(self) -> None:
        """The weights are those of the counts."""
        self.weights.copy_(self._numbers.gather(2, self._times[..., None]).squeeze(2))

    def chosen(self, masks: torch.Tensor) -> torch.Tensor:
        """0 of a pruned weight, 1 + how often it was drawn anew of a kept one."""
        return torch.where(masks, 1 + self._times, 0)

    def state(self) -> dict[str, torch.Tensor]:
        return {"steps": self._steps, "times": self._times}
