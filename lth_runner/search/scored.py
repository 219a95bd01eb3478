"""A network with scores: which weights have them, and where they compete."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.search.top_fraction import kept_count

SCOPES = ("layer", "global")
Density = float | Mapping[str, float]  # kept / total, of all weights alike or by name


@dataclass(frozen=True, kw_only=True)
class Group:
    """Weights whose scores compete: one alone, or with `scope: global` all of them.

    Attributes:
        names: in the order of the network's parameters, in which ties are broken too.
        columns: where their scores stand among all.
        density: kept / total.
    """

    names: tuple[str, ...]
    columns: slice
    density: float

    @property
    def size(self) -> int:
        """Scores of the group."""
        return self.columns.stop - self.columns.start

    def kept(self) -> int:
        """Weights that the masks of this group keep together."""
        return kept_count(self.density, self.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredNetwork:
    """A network whose weights stay as they are, and the first scores of some of them.

    Attributes:
        module: any module, with its weights. In evaluation mode but for batch norms that gather statistics.
        scores: by parameter name, each of its parameter's shape; parameters without scores stay whole.
        density: kept / total, of each weight or with scope global of all together; of each weight by its name.
        scope: "layer" or "global".

    Raises:
        ConfigError: a name is no parameter, no parameter has scores, or densities that do not fit.
    """

    module: torch.nn.Module
    scores: Mapping[str, torch.Tensor]
    density: Density
    scope: str

    def __post_init__(self) -> None:
        checks.choice("scope", self.scope, SCOPES)
        if isinstance(self.density, Mapping) and (self.scope == "global" or self.density.keys() != self.scores.keys()):
            raise ConfigError("densities by name go with scope=layer and name every weight that has scores, no other")
        for each in self.density.values() if isinstance(self.density, Mapping) else [self.density]:
            checks.fraction("density", each)
        parameters = dict(self.module.named_parameters())
        if unknown := self.scores.keys() - parameters.keys():
            raise ConfigError(f"no weight to mask is named {', '.join(sorted(unknown))}: remove its scores")
        if not self.scores:
            raise ConfigError("the network has no weight to train scores for: give scores to at least one of them")
        for name, scores in self.scores.items():
            if scores.shape != parameters[name].shape:
                raise ConfigError(f"{name} of shape {tuple(parameters[name].shape)} has scores {tuple(scores.shape)}")

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Where the scores of each weight stand among all, in the order of the module's parameters."""
        found, start = {}, 0
        for name, parameter in self.module.named_parameters():
            if name in self.scores:
                found[name] = slice(start, start + parameter.numel())
                start += parameter.numel()
        return found

    @cached_property
    def groups(self) -> list[Group]:
        """Of competing scores, in the order of their columns."""
        if isinstance(self.density, Mapping):
            return [Group(names=(n,), columns=at, density=self.density[n]) for n, at in self.columns.items()]
        if self.scope == "layer":
            return [Group(names=(n,), columns=at, density=self.density) for n, at in self.columns.items()]
        whole = slice(0, sum(scores.numel() for scores in self.scores.values()))
        return [Group(names=tuple(self.columns), columns=whole, density=self.density)]

    def flat_scores(self) -> torch.Tensor:
        """A copy of all scores as one vector, float32."""
        return torch.cat([self.scores[name].detach().float().flatten() for name in self.columns])

    def flat_weights(self) -> torch.Tensor:
        """A copy of their weights, alike."""
        return torch.cat([self.module.get_parameter(name).detach().float().flatten() for name in self.columns])


def views(flat: torch.Tensor, network: ScoredNetwork) -> dict[str, torch.Tensor]:
    """What a vector over all scores holds, in the shapes of the weights."""
    return {name: flat[at].view(network.scores[name].shape) for name, at in network.columns.items()}
