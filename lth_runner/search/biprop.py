"""Biprop: edge-popup for networks whose weights have one size per layer, so that a weight is no more than its sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.interface import Distribution
from lth_runner.distributions.signs import Signs
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.space import Ground
from lth_runner.search.trainer import ScoreTrainer
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor

LEVELS = (np.arange(64) + 0.5) / 128  # below 1/2, where a law's quantiles are compared with those above


@dataclass(frozen=True, kw_only=True)
class Biprop(ScoreSearch):
    """The mask keeps the largest |scores|; a kept weight w counts as sign(w) * alpha, alpha = mean |w| of those kept.

    There is one alpha per weight tensor, settled after every step, and a score's gradient is edge-popup's at these
    weights. The ticket's random network has weights -alpha and +alpha, with the signs of the ones drawn, of the last
    alpha; a tensor of which nothing is kept stays as it was drawn.

    Reference: Diffenderfer and Kailkhura, arXiv:2103.09377, with activations of full precision (MPT-1/32). Differs from
    the paper: no batch normalisation, and `scope: global` cuts at its density from the first step on, where the
    published code comes down to it over ten epochs.

    Attributes: see `ScoreSearch`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _symmetric(self.distribution.fitted((1, 1), None)):
            raise ConfigError(
                f"biprop needs a distribution that is symmetric about 0 and never 0, got {self.distribution!r}: "
                "set method/distribution=kaiming_normal"
            )

    def trainer(self, networks: Sequence[torch.nn.Module], device: str) -> ScoreTrainer:
        assert device == "cpu", "a search that is not on_gpu trains on a CPU"
        (network,) = networks
        return ScoreTraining(network, self.momentum, self.weight_decay, binary=True)

    def tensors(self, ground: Ground, masks: Mapping[str, Mask], seed: int) -> dict[str, RandomTensor]:
        """The recipes with the law of each scored weight replaced by the signs that the training used."""
        found = dict(ground.weights)
        for name in found.keys() - ground.settled.keys():
            if masks[name].kept():
                found[name] = _signs(found[name], masks[name], seed)
        return found


def _symmetric(law: Distribution) -> bool:
    below, above = law.quantile(LEVELS), law.quantile(1 - LEVELS)
    return bool(np.allclose(below, -above, rtol=1e-9, atol=0) and (below < 0).all())


def _signs(tensor: RandomTensor, mask: Mask, seed: int) -> RandomTensor:
    """The recipe of the tensor's signs, times the mean size of its kept entries."""
    weight = tensor.draw(seed).astype(np.float32)  # as it was trained on
    size = np.abs(weight[mask.dense()]).mean(dtype=np.float64)
    signs = replace(tensor, distribution=Signs(size=float(size)))
    if not np.array_equal(signs.draw(seed) < 0, weight < 0):
        raise ConfigError(
            f"biprop needs weights whose law is symmetric about 0 and never 0, got {tensor.distribution!r}"
        )
    return signs
