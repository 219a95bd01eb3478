"""Early-bird tickets: channels of large batch-norm scales, or large weights, drawn as soon as their ranking settles."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.prune.channels import channels
from lth_runner.prune.trainings import Trainings
from lth_runner.prune.unit_search import Scaled
from lth_runner.prune.unit_ticket import UnitTicket
from lth_runner.prune.units import Place, Units

UNITS = ("channel", "weight")


@dataclass(frozen=True, kw_only=True)
class EarlyBird(UnitTicket):
    """Keeps the channels of the largest absolute batch-norm scales, of all norms together, or the largest weights.

    Reference: arXiv:1909.11957. Differs from the published code: exact counts in place of a quantile; the first mask is
    that after one period, since before a step all scales are equal; channels are masked, and those that can be are cut
    out by `compact`. Norms behind several layers, or whose layer others use, stay whole.

    Single weights are no part of the paper: a network without norms has no scales, so that each prunable weight stands
    for its own, all layers together, and the same rule on their masks says when to draw. The distance counts all units,
    as published, so that masks of at most distance / 2 of them always agree.

    Attributes:
        density: units kept / units; where these are channels, of the weights fewer are kept.
        unit: "channel", of batch norms; "weight", of two axes or more, by its magnitude. The penalty is on these.
    """

    unit: str

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("unit", self.unit, UNITS)

    def units(self, network: Architecture) -> dict[str, Units]:
        if self.unit == "weight":
            shapes = {name: shape for name, shape in parameter_shapes(network).items() if len(shape) > 1}
            return {name: _weights(name, shape) for name, shape in shapes.items()}
        found = channels(network)
        if not found:
            raise ConfigError(
                f"this prunes channels by the scales of batch norms, and {type(network).__name__} has none behind a "
                "linear or convolutional layer: choose network=vgg16 or network=resnet20, or set method.unit=weight"
            )
        return found

    def counts(self, groups: Mapping[str, Units], density: float) -> dict[tuple[str, ...], int]:
        return {tuple(groups): round(density * sum(group.count for group in groups.values()))}

    def scaled(self, groups: Mapping[str, Units], trainings: Trainings) -> Scaled:
        scales = {name: name if self.unit == "weight" else f"{name}.weight" for name in groups}
        return Scaled(module=trainings.module(), scales=scales, network=lambda state: replace(state, history=[]))


def _weights(name: str, shape: tuple[int, ...]) -> Units:
    return Units(count=math.prod(shape), places=(Place(tensor=name, axis=None),), removable=False)
