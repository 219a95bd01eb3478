"""The floor every search must beat: a random mask over a random network."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import Problem
from lth_runner.resources import CORES, Resources
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class RandomPruning:
    """Keeps round(density * size) weights of each layer of a random network, chosen uniformly.

    Attributes:
        density: fraction of weights kept, in [0, 1].
        distribution: of the random network's weights.
    """

    needs_target: ClassVar[bool] = False
    resources: ClassVar[Resources] = CORES
    density: float
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.fraction("density", self.density)

    def find(self, problem: Problem, recorder: Recorder) -> Ticket:
        """The ticket; see `Method.find`."""
        if problem.network is None:
            raise ConfigError("random_pruning needs a network to prune: add network=fc")
        tensors, masks = {}, {}
        target = np.concatenate([weight.ravel() for weight in problem.target.values()]) if problem.target else None
        for name, shape in parameter_shapes(problem.network).items():
            size = int(np.prod(shape))
            tensors[name] = RandomTensor(
                shape=shape, distribution=self.distribution.fitted(shape, target), path=("weights", name)
            )
            masks[name] = Mask.random(shape, round(self.density * size), problem.streams("mask", name))
        recorder.say(f"random mask, density {self.density}")
        return Ticket(network=problem.network, seed=problem.streams.seed, tensors=tensors, masks=masks)
