"""Random masks that are trained: what any way to choose weights must beat (Liu et al. 2022)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.problem import Found, Problem
from lth_runner.prune.at_init import trained
from lth_runner.prune.trained_ticket import TrainedTicket
from lth_runner.prune.trainings import Trainings
from lth_runner.ticket.mask import Mask

Shapes = Mapping[str, tuple[int, ...]]

# Of a weight's shape (out, in, *kernel): what the density of its layer is in proportion to.
PROPORTIONS: dict[str, Callable[[Sequence[int]], float]] = {
    "uniform": lambda shape: 1.0,
    "er": lambda shape: (shape[0] + shape[1]) / (shape[0] * shape[1]),
    "erk": lambda shape: sum(shape) / math.prod(shape),
}


@dataclass(frozen=True, kw_only=True)
class RandomMask(TrainedTicket):
    """Keeps weights chosen uniformly in each layer, and trains them.

    `random_pruning` is the same without training: a random mask over a network that stays random.

    Reference: arXiv:2202.02643. Differs from the published code: counts are exact, where it keeps every weight with a
    probability.

    Attributes:
        layer_densities: "uniform", equal ones; "er", in proportion to (out + in) / (out in); "erk", to the sum of a
            weight's axes / their product, the kernel's included. A layer that would exceed 1 is kept whole, and the
            others share what is left in the same proportions. In networks without convolutions er and erk are equal.
    """

    layer_densities: str

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("layer_densities", self.layer_densities, PROPORTIONS)

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, all from one start; see `Method.find`."""
        trainings = self.trainings(problem, recorder)
        return [
            trained(trainings, recorder, f"density {density:g}", self.masks(trainings, density), trainings.start)
            for density in densities
        ]

    def masks(self, trainings: Trainings, density: float) -> dict[str, np.ndarray]:
        """Masks of exactly round(density * size) weights together."""
        shapes = trainings.prunable
        kept = counts(layer_densities(shapes, density, self.layer_densities), shapes, density)
        return {
            name: Mask.random(shape, kept[name], trainings.streams("random_mask", name)).dense()
            for name, shape in shapes.items()
        }


def layer_densities(shapes: Shapes, density: float, kind: str) -> dict[str, float]:
    """The density of every layer, in [0, 1]; together they keep `density` of all weights, up to rounding."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: PROPORTIONS[kind](shape) for name, shape in shapes.items()}
    whole: set[str] = set()
    while True:
        left = [name for name in shapes if name not in whole]
        budget = density * sum(sizes.values()) - sum(sizes[name] for name in whole)
        scale = budget / sum(raw[name] * sizes[name] for name in left) if left else 0.0
        above = {name for name in left if scale * raw[name] > 1}
        if not above:
            return {name: 1.0 if name in whole else scale * raw[name] for name in shapes}
        whole |= above


def counts(densities: Mapping[str, float], shapes: Shapes, density: float) -> dict[str, int]:
    """Whole numbers of weights, round(density * size) together: the largest remainders are rounded up."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    exact = {name: min(densities[name], 1.0) * size for name, size in sizes.items()}
    found = {name: math.floor(number) for name, number in exact.items()}
    missing = round(density * sum(sizes.values())) - sum(found.values())
    # layers that are full stand last, since their remainder is 0
    for name in sorted(found, key=lambda name: found[name] - exact[name])[:missing]:
        found[name] += 1
    return found
