"""Magnitudes at the start: the largest weights as they were drawn, whatever the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lth_runner.prune.at_init import PruningAtInit, Samples, Scores


@dataclass(frozen=True, kw_only=True)
class MagnitudeAtInit(PruningAtInit):
    """The score of a weight is its absolute value at the start.

    With scope=global layers compete by the scale that the law of the start gives them, so that the masks say as much
    of that law as of the network.

    Reference: a baseline of arXiv:2009.08576, and of arXiv:1803.03635, appendix F.4. As there.
    """

    def schedule(self, density: float) -> list[float]:
        """One round: the scores do not depend on what is pruned."""
        return [density]

    def scores(self, module: torch.nn.Module, names: Sequence[str], samples: Samples) -> Scores:
        del samples
        parameters = dict(module.named_parameters())
        return {name: parameters[name].abs() for name in names}
