"""Edge-popup: every random weight gets a score, the scores are trained, and the weights that score highest stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.grid import ScoreGrid
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.trainer import ScoreTrainer


@dataclass(frozen=True, kw_only=True)
class EdgePopup(ScoreSearch):
    """The mask keeps the largest |scores|; straight through it, a score's gradient is that of its weight, times it.

    Reference: Ramanujan et al., arXiv:1911.13299. As in the code published with arXiv:2006.07990 but for the random
    numbers and the validation images, which are not trained on.

    Attributes: see `ScoreSearch`.
    """

    on_gpu: ClassVar[bool] = True

    def trainer(self, networks: Sequence[torch.nn.Module], device: str) -> ScoreTrainer:
        if device != "cpu":
            return ScoreGrid(networks, self.momentum, self.weight_decay, device, compiled=True)
        (network,) = networks
        return ScoreTraining(network, self.momentum, self.weight_decay, binary=False)
