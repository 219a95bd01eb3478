"""The searches that train a score per random weight, on the very rules with which they search networks."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.laws.sum_search.interface import Chosen, Sums, SumSearch
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.top_fraction import kept_count

KEEPS = ("last", "best")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """SGD with momentum on scores; the loss is the mean squared error of the output, its gradient has no noise.

    All numbers of one network compete, as those of a layer do. The method's momentum, decay, first scores, density and
    epochs hold; its batches, data and law of weights play no part.

    Attributes:
        method: whose rule it is.
        steps_per_epoch: steps of gradient descent between two ends of epochs.
        learning_rate: at the first step; at the last of T it has come down to 0 as (1 + cos(pi t / T)) / 2.
        keep: "last": the mask of the last step, as published; "best": the one of least loss along the way.
        start: whose mask is the first one: its numbers get the largest of the first scores, and as many are kept from
            then on. None: the first scores stand as drawn, and the method's density holds.
    """

    method: ScoreSearch
    steps_per_epoch: int
    learning_rate: float
    keep: str
    start: SumSearch | None

    def __post_init__(self) -> None:
        checks.integer("steps_per_epoch", self.steps_per_epoch, at_least=1)
        checks.positive("learning_rate", self.learning_rate)
        checks.choice("keep", self.keep, KEEPS)
        if not self.method.subset:
            raise ConfigError(
                f"{type(self.method).__name__} makes more of its numbers than a subset of them, and here subsets are "
                "compared: take edge_popup, biprop or gem_miner"
            )

    def find(self, sums: Sums, streams: Streams) -> Chosen:
        networks, weights, n = sums.values.shape
        law = self.method.scores.fitted((weights, n), None)
        scores = law.quantile(streams.uniform(("scores",), 0, sums.values.size)).reshape(networks, -1)
        kept = np.full(networks, kept_count(self.method.density, weights * n))
        if self.start is not None:
            first = self.start.find(sums, streams).masks.reshape(networks, -1)
            scores, kept = ranked_first(scores, first), first.sum(axis=1)
        training = _Training(self.method, sums, torch.from_numpy(scores).float(), torch.from_numpy(kept).int())
        training.run(self.steps_per_epoch, self.learning_rate)
        masks = training.mask() if self.keep == "last" else training.best
        return Chosen(
            masks=masks.view(sums.values.shape).numpy(), used=training.used(masks).view(sums.values.shape).numpy()
        )


def ranked_first(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The same scores in another order: those of largest size where `first` is, each part in the order it had."""
    found = np.empty_like(scores)
    for row, mask, out in zip(scores, first, found, strict=True):
        top = np.zeros(row.size, bool)
        top[np.argsort(-np.abs(row), kind="stable")[: mask.sum()]] = True
        out[mask], out[~mask] = row[top], row[~top]
    return found


class _Training:
    """Scores of R networks on their way.

    Attributes:
        best: (R, d n) bool, the mask of least loss that each network has had.
    """

    def __init__(self, rule: ScoreSearch, sums: Sums, scores: torch.Tensor, kept: torch.Tensor) -> None:
        self._rule, self._sums, self._scores, self._kept = rule, sums, scores, kept
        self._weight = torch.from_numpy(sums.values).flatten(1)
        self._active = torch.ones_like(scores, dtype=torch.bool)
        self._velocity = torch.zeros_like(scores)
        self._least = np.full(len(scores), np.inf)
        self.best = torch.zeros_like(self._active)

    def run(self, steps_per_epoch: int, learning_rate: float) -> None:
        """All epochs."""
        steps = self._rule.epochs * steps_per_epoch
        for t in range(steps):
            self._step(learning_rate * (1 + math.cos(math.pi * t / steps)) / 2)
            if (t + 1) % steps_per_epoch == 0:
                self._end_epoch((t + 1) // steps_per_epoch)
        self._gradient()  # looks at the last mask, too

    def mask(self) -> torch.Tensor:
        """Of the scores as they are, (R, d n)."""
        return self._rule.mask(self._scores, self._active, self._kept)

    def used(self, masks: torch.Tensor) -> torch.Tensor:
        """What the networks use of their numbers, float64."""
        return self._rule.effective(torch.where(self._active, self._weight, 0.0), masks)

    def _gradient(self) -> torch.Tensor:
        """The loss by each used number, (R, d n)."""
        mask = self.mask()
        errors = self.used(mask).view(self._sums.values.shape).sum(2).numpy() - self._sums.targets
        loss = self._sums.losses(errors)
        better = loss < self._least
        self._least = np.where(better, loss, self._least)
        self.best = torch.where(torch.from_numpy(better)[:, None], mask, self.best)
        slope = torch.from_numpy(2 * self._sums.seen(errors))
        return slope[..., None].expand(self._sums.values.shape).flatten(1)

    def _step(self, rate: float) -> None:
        rule, scores = self._rule, self._scores
        slope = rule.score_gradient(self._gradient(), torch.where(self._active, self._weight, 0.0), scores).float()
        self._velocity.mul_(rule.momentum).add_(slope + rule.decay() * scores)
        scores.sub_(rate * self._velocity)
        if rule.score_range is not None:
            scores.clamp_(*rule.score_range)

    def _end_epoch(self, epoch: int) -> None:
        for run in range(len(self._scores)):
            active = self._rule.end_epoch(epoch, self._scores[run], self._active[run], self._rule.density)
            self._active[run] = active
        self._scores.masked_fill_(~self._active, 0)
        self._velocity.masked_fill_(~self._active, 0)
