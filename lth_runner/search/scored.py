"""A network with scores: which weights have them, and where they compete."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        numbers: scores of each weight.
    """

    names: tuple[str, ...]
    columns: slice
    density: float
    numbers: int = 1

    @property
    def size(self) -> int:
        """Scores of the group."""
        return self.columns.stop - self.columns.start

    def kept(self) -> int:
        """Weights that the masks of this group keep together."""
        return kept_count(self.density, self.size // self.numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredNetwork:
    """A network whose weights stay as they are, and the first scores of some of them.

    Attributes:
        module: any module, with its weights. In evaluation mode but for batch norms that gather statistics.
        scores: by parameter name, each of its parameter's shape, or of its numbers'; parameters without scores stay
            whole.
        density: kept / total, of each weight or with scope global of all together; of each weight by its name.
        scope: "layer" or "global".
        numbers: by parameter name, random numbers that a weight can be, along one axis more than its parameter has.
            None for weights that are what the module holds.
        seed: of what a search draws while it trains.

    Raises:
        ConfigError: a name is no parameter, no parameter has scores, or densities that do not fit.
    """

    module: torch.nn.Module
    scores: Mapping[str, torch.Tensor]
    density: Density
    scope: str
    numbers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    seed: int = 0

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
            own = {parameters[name].shape, self.numbers[name].shape if name in self.numbers else None}
            if scores.shape not in own:
                raise ConfigError(f"{name} of shape {tuple(parameters[name].shape)} has scores {tuple(scores.shape)}")

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Where the scores of each weight stand among all, in the order of the module's parameters."""
        found, start = {}, 0
        for name, parameter in self.module.named_parameters():
            if name in self.scores:
                size = parameter.numel() * self.scores_each(name)
                found[name] = slice(start, start + size)
                start += size
        return found

    @cached_property
    def groups(self) -> list[Group]:
        """Of competing scores, in the order of their columns."""
        if isinstance(self.density, Mapping) or self.scope == "layer":
            return [
                Group(names=(name,), columns=at, density=self.density_of(name), numbers=self.scores_each(name))
                for name, at in self.columns.items()
            ]
        whole = slice(0, sum(scores.numel() for scores in self.scores.values()))
        numbers = self.scores_each(next(iter(self.columns)))
        return [Group(names=tuple(self.columns), columns=whole, density=self.density, numbers=numbers)]

    def shapes(self) -> dict[str, torch.Size]:
        """Of the weights that have scores, in the order of their columns."""
        return {name: self.module.get_parameter(name).shape for name in self.columns}

    def density_of(self, name: str) -> float:
        """Kept / total of one weight."""
        return self.density[name] if isinstance(self.density, Mapping) else self.density

    def scores_each(self, name: str) -> int:
        """How many scores each entry of a weight has: one, or one for each of its numbers."""
        scores = self.scores[name]
        return scores.shape[-1] if scores.ndim > self.module.get_parameter(name).ndim else 1

    def flat_scores(self) -> torch.Tensor:
        """A copy of all scores as one vector, float32."""
        return torch.cat([self.scores[name].detach().float().flatten() for name in self.columns])

    def flat_weights(self) -> torch.Tensor:
        """A copy of what they are scores of, alike: numbers, or weights."""
        return torch.cat([self._scored(name).detach().float().flatten() for name in self.columns])

    def _scored(self, name: str) -> torch.Tensor:
        parameter = self.module.get_parameter(name)
        return parameter if self.scores[name].shape == parameter.shape else self.numbers[name]


def views(flat: torch.Tensor, network: ScoredNetwork) -> dict[str, torch.Tensor]:
    """What a vector over all scores holds, in the shapes of the weights."""
    return {name: flat[at].view(network.scores[name].shape) for name, at in network.columns.items()}
