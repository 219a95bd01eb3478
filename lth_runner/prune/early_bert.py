"""EarlyBERT's tickets: heads and hidden neurons of a transformer, drawn early by slimming coefficients."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Architecture
from lth_runner.prune.trainings import Trainings
from lth_runner.prune.transformer_units import Slimmed, along_columns, heads, hidden_neurons
from lth_runner.prune.unit_search import Scaled
from lth_runner.prune.unit_ticket import UnitTicket
from lth_runner.prune.units import Units
from lth_runner.training.state import State

MODULE, COEFFICIENTS = "module.", "coefficients."  # before the names of the parameters of `Slimmed`


@dataclass(frozen=True, kw_only=True)
class EarlyBert(UnitTicket):
    """Keeps the heads, in each attention, and the hidden neurons, of all blocks together, of the largest coefficients.

    The coefficients start at 1, are trained with the network under a penalty, and multiply what a unit gives. They are
    left out of the ticket's network but with retrain=continue, where its weights have them in.

    Reference: arXiv:2101.00063. Differs from the published code: exact counts in place of a quantile, of absolute
    coefficients; the network is trained from scratch, not from a pretrained one; the draw can wait until masks agree.

    Attributes:
        density: hidden neurons kept / hidden neurons, of all blocks together.
        heads: heads kept / heads, in each attention; at least one head.
    """

    heads: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("heads", self.heads)

    def units(self, network: Architecture) -> dict[str, Units]:
        attentions = heads(network)
        if not attentions:
            raise ConfigError(
                f"this prunes heads of attentions, and {type(network).__name__} has no torch.nn.MultiheadAttention of "
                "several heads: choose network=vit"
            )
        return {**attentions, **hidden_neurons(network)}

    def counts(self, groups: Mapping[str, Units], density: float) -> dict[tuple[str, ...], int]:
        neurons = {name: group for name, group in groups.items() if group.places[0].times == 1}
        found: dict[tuple[str, ...], int] = {
            (name,): max(1, round(self.heads * group.count)) for name, group in groups.items() if name not in neurons
        }
        if neurons:
            found[tuple(neurons)] = round(density * sum(group.count for group in neurons.values()))
        return found

    def scaled(self, groups: Mapping[str, Units], trainings: Trainings) -> Scaled:
        names = {group: f"{COEFFICIENTS}{i}" for i, group in enumerate(groups)}
        slimmed = Slimmed(trainings.module(), groups)
        return Scaled(module=slimmed, scales=names, network=lambda state: _multiplied(state, groups, names))


def _multiplied(state: State, groups: Mapping[str, Units], names: Mapping[str, str]) -> State:
    """The network's own state, the coefficients multiplied into its weights."""
    inner = {key.removeprefix(MODULE): t for key, t in state.parameters.items() if key.startswith(MODULE)}
    for name, group in groups.items():
        columns = group.places[-1]
        factors = along_columns(columns, state.parameters[names[name]])
        inner[columns.tensor] = inner[columns.tensor] * factors
    buffers: dict[str, torch.Tensor] = {key.removeprefix(MODULE): tensor for key, tensor in state.buffers.items()}
    return replace(state, parameters=inner, buffers=buffers, optimizer={}, history=[])
