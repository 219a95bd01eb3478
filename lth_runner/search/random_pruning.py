"""The floor every search must beat: a random mask over a random network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.search.space import initial_tensors, norm_parameters
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class RandomPruning:
    """Keeps round(density * size) weights of each layer of a random network, chosen uniformly.

    Every parameter is random and pruned, biases included; norms are at weight 1, bias 0 and no statistics, and other
    buffers are as the module makes them.

    Attributes:
        density: fraction of weights kept, in [0, 1].
        distribution: of the random network's weights.
    """

    needs_target: ClassVar[bool] = False
    resources: ClassVar[Resources] = CORES
    on_gpu: ClassVar[bool] = False
    density: float
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.fraction("density", self.density)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket; see `Method.find`."""
        (network,) = problem.need("network")
        whole = norm_parameters(network)
        shapes = {name: shape for name, shape in parameter_shapes(network).items() if shape and name not in whole}
        span = _span([array for name, array in (problem.target or {}).items() if name in shapes])
        seed = problem.streams.seed
        weights: dict[str, Source] = dict(initial_tensors(network, seed))
        masks = {}
        for name, shape in shapes.items():
            law = self.distribution.fitted(shape, span)
            weights[name] = Drawn(shape=shape, distribution=law, stream=("weights", name))
            kept = round(self.density * int(np.prod(shape)))
            masks[name] = Mask.random(shape, kept, problem.streams("mask", name))
        recorder.say(f"random mask, density {self.density}")
        return Found(ticket=Ticket(architecture=network, seed=seed, weights=weights, masks=masks))


def _span(arrays: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """Least and greatest of all these numbers; None without any."""
    return (min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)) if arrays else None
