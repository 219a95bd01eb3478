"""Early-bird tickets: channels whose batch-norm scales are large, drawn as soon as their ranking settles."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Architecture
from lth_runner.prune.channels import channels
from lth_runner.prune.trainings import Trainings
from lth_runner.prune.unit_search import Scaled
from lth_runner.prune.unit_ticket import UnitTicket
from lth_runner.prune.units import Units


@dataclass(frozen=True, kw_only=True)
class EarlyBird(UnitTicket):
    """Keeps the channels of the largest absolute batch-norm scales, of all norms together.

    Reference: arXiv:1909.11957. Differs from the published code: exact counts in place of a quantile; the first mask is
    that after one period, since before a step all scales are equal; channels are masked, and those that can be are cut
    out by `compact`. Norms behind several layers, or whose layer others use, stay whole.

    Attributes:
        density: channels kept / channels; of the weights fewer are kept.
    """

    def units(self, network: Architecture) -> dict[str, Units]:
        found = channels(network)
        if not found:
            raise ConfigError(
                f"this prunes channels by the scales of batch norms, and {type(network).__name__} has none behind a "
                "linear or convolutional layer: choose network=vgg16 or network=resnet20"
            )
        return found

    def counts(self, groups: Mapping[str, Units], density: float) -> dict[tuple[str, ...], int]:
        return {tuple(groups): round(density * sum(group.count for group in groups.values()))}

    def scaled(self, groups: Mapping[str, Units], trainings: Trainings) -> Scaled:
        scales = {norm: f"{norm}.weight" for norm in groups}
        return Scaled(module=trainings.module(), scales=scales, network=lambda state: replace(state, history=[]))
