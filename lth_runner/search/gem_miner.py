"""Gem-Miner: scores in [0, 1] are rounded to a mask, and every few epochs the lowest of them are frozen to zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.search.rounded_scores import RoundedScoreTraining
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.trainer import ScoreTrainer
from lth_runner.ticket.mask import Mask


@dataclass(frozen=True, kw_only=True)
class GemMiner(ScoreSearch):
    """Keeps the weights whose score ends at 1/2 or above, of those that freezing has left: `density` of all, or fewer.

    Loss: cross-entropy + penalty * ||p||^2 over the scores p of weights not frozen. After every `period` epochs the
    weights of lowest p are frozen to zero, a fraction density^(1/rounds) surviving each of floor((epochs - 1) / period)
    rounds. Fact beside those of every search: `collapsed_layers`, in how many layers a weight is left without any kept
    entry, as happens where the penalty is too large. The facts of the best epoch may be those of a mask not yet frozen.

    Reference: Sreenivasan et al., arXiv:2202.12002, Algorithm 1. Differs from the paper: counts are exact (the last
    round leaves round(density * N)); a round follows epoch k * period, in the published code the epoch after it, so
    that training always follows the last one; no batch normalisation; the ticket is the network before fine-tuning.

    Attributes:
        density: what freezing leaves, / total; the ticket may keep less, and says how much.
        scope: where weights compete when some are frozen; "global" as published. `density` is met there.
        penalty: lambda of the paper.
        period: epochs between two rounds of freezing.
        scores: law of the first scores, on [0, 1].
        Others: see `ScoreSearch`.
    """

    penalty: float
    period: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.not_negative("penalty", self.penalty)
        checks.integer("period", self.period, at_least=1)
        if self.period >= self.epochs:
            raise ConfigError(
                f"period={self.period} leaves no round of freezing before the last of epochs={self.epochs}: "
                "set method.period lower or method.epochs higher"
            )

    def trainer(self, networks: Sequence[torch.nn.Module], device: str) -> ScoreTrainer:
        assert device == "cpu", "a search that is not on_gpu trains on a CPU"
        (network,) = networks
        return RoundedScoreTraining(
            network,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            penalty=self.penalty,
            epochs=self.epochs,
            period=self.period,
        )

    def facts(self, masks: Mapping[str, Mask]) -> dict[str, float]:
        empty = {name.rpartition(".")[0] for name, mask in masks.items() if mask.kept() == 0}
        return {"collapsed_layers": len(empty)}
