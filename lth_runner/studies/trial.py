"""One random network: the ticket that is constructed in it, and those that are found in it with as many weights."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.measure.effective_weights import effective_weights, nearness
from lth_runner.measure.layer_use import told_layer_uses
from lth_runner.measure.overlap import Overlap, num_on_path, on_path, overlap, summed
from lth_runner.measure.ticket import measure_ticket, network_accuracy
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.problem import Problem
from lth_runner.record.points import Point
from lth_runner.search.score_search import ScoreSearch
from lth_runner.search.scored import Density
from lth_runner.search.space import SearchSpace
from lth_runner.subset_sum.second_closest import SecondClosest
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import Materialised, materialise
from lth_runner.ticket.source import Drawn
from lth_runner.ticket.ticket import Ticket

LEVELS = (np.arange(4096) + 0.5) / 4096  # where a distribution is looked at for its size


class Trial:
    """A construction and a search on one random network, which the seed of `problem` draws.

    Args:
        construction: gives a ticket of a `TwoLayerExpansion` network; with a solver, if there is to be a second one.
        search: scores are trained on that very network.
        epsilon: larger weight errors of the constructed ticket are counted.
    """

    def __init__(
        self, construction: Any, search: ScoreSearch, problem: Problem, epsilon: float, recorder: Recorder
    ) -> None:
        self.construction, self.search, self.problem = construction, search, problem
        self.epsilon, self.recorder = epsilon, recorder

    @cached_property
    def constructed(self) -> Ticket:
        """The ticket that is proved to be there."""
        return self.construction.find(self.problem, self.recorder).ticket

    @cached_property
    def effective(self) -> dict[str, np.ndarray]:
        """Its effective weights, by layer."""
        return effective_weights(self.constructed, self.expansion)

    @property
    def expansion(self) -> TwoLayerExpansion:
        """Its architecture.

        Raises:
            ConfigError: another one.
        """
        if not isinstance(self.constructed.architecture, TwoLayerExpansion):
            raise ConfigError("this study searches networks of two layers for one: set compare.exists to method pensia")
        return self.constructed.architecture

    def point(self, curve: str, recorder: Recorder) -> Point:
        """Finds the ticket of one curve and measures it beside the constructed one."""
        ticket = CURVES[curve](self, recorder)
        network = materialise(ticket)
        told_layer_uses(curve, network, self.problem.data, recorder.say)
        point: Point = {"curve": curve, "axis": "n", "seed": self.problem.streams.seed}
        point |= {"accuracy": self._accuracy(network), "drawn": ticket.drawn(), "offered": ticket.offered()}
        point |= {"kept": ticket.kept(), "used": num_on_path(ticket, self.expansion)}
        if curve in CONSTRUCTED:
            point = {**measure_ticket(network, self.problem, self.epsilon, outputs=False, approximates=True), **point}
        if ticket is self.constructed:
            return point
        near = nearness(self.effective, effective_weights(ticket, self.expansion))
        point |= {"effective_correlation": near.correlation, "effective_difference": near.difference}
        for name, part in self._overlaps(ticket, structure_given=curve in STRUCTURE_GIVEN).items():
            end = f"_{name}" if name else ""
            point |= {f"overlap{end}": part.shared / part.kept if part.kept else None}
            point |= {f"overlap{end}_chance": part.chance / part.kept if part.kept else None}
        return point

    def _accuracy(self, network: Materialised) -> float:
        (data,) = self.problem.need("data")
        return network_accuracy(network.module(), data)

    def _overlaps(self, ticket: Ticket, structure_given: bool) -> dict[str, Overlap]:
        """By tensor, of all summing layers as "sums", and of all tensors as ""; given tensors are left out.

        Where the structure is given, chance is that of a random mask with the same structure.
        """
        found: dict[str, Overlap] = {}
        for layer in self.expansion.layers:
            names = [f"{layer.name}.{which}.weight" for which in ("split", "sum")]
            (split, total), (other_split, other) = (
                [of.masks[name].dense() for name in names] for of in (self.constructed, ticket)
            )
            if not structure_given:
                found[names[0]] = overlap(split, other_split)
            found[names[1]] = overlap(total, other, on_path(split, total.shape) if structure_given else None)
        sums = summed(part for name, part in found.items() if name.endswith(".sum.weight"))
        return {**found, "sums": sums, "": summed(found.values())}

    def second(self) -> Ticket:
        """Constructed in the same network with the closest sums but those that `constructed` has: another answer."""
        other = replace(self.construction, solver=SecondClosest(solver=self.construction.solver))
        return other.find(self.problem, self.recorder).ticket

    def densities(self) -> dict[str, float]:
        """Kept / total of each tensor of the constructed ticket."""
        return {name: mask.kept() / mask.size for name, mask in self.constructed.masks.items()}

    def searched(self, density: Density, given: dict[str, Mask], recorder: Recorder) -> Ticket:
        """What the search finds on the weights of the constructed ticket.

        Args:
            density: of all weights together, or by the name of each one that is searched.
            given: masks of the others.
        """
        alike = dict.fromkeys(self.densities(), density) if isinstance(density, float) else {}
        space = SearchSpace(
            architecture=self.constructed.architecture,
            weights=self.constructed.weights,
            given=given,
            gains=signal_gains(self.constructed, self.expansion, {**self.densities(), **alike}),
        )
        search = replace(self.search, scope="global" if alike else "layer")
        (found,) = search.search(space, [density], self.problem, recorder)
        return found.ticket

    def random(self) -> Ticket:
        """A random mask with as many weights in every tensor."""
        masks = {
            name: Mask.random(mask.shape, mask.kept(), self.problem.streams("mask", name))
            for name, mask in self.constructed.masks.items()
        }
        return replace(self.constructed, masks=masks)


def _second_layers(trial: Trial, recorder: Recorder) -> Ticket:
    """The constructed first weights are given."""
    searched = {name: density for name, density in trial.densities().items() if name.endswith(".sum.weight")}
    given = {name: mask for name, mask in trial.constructed.masks.items() if name not in searched}
    return trial.searched(searched, given, recorder)


CURVES: dict[str, Callable[[Trial, Recorder], Ticket]] = {
    "exists": lambda trial, recorder: trial.constructed,
    "second": lambda trial, recorder: trial.second(),
    "all": lambda trial, recorder: trial.searched(trial.constructed.kept() / trial.constructed.offered(), {}, recorder),
    "layers": lambda trial, recorder: trial.searched(trial.densities(), {}, recorder),
    "sums": _second_layers,
    "random": lambda trial, recorder: trial.random(),
}

CONSTRUCTED = ("exists", "second")
STRUCTURE_GIVEN = ("second", "sums")  # their first weights are those of "exists"


def signal_gains(ticket: Ticket, expansion: TwoLayerExpansion, densities: dict[str, float]) -> dict[str, float]:
    """What the random weights are multiplied with so that signals keep their size where so many of them are kept.

    Kept weights then have the variance 2 / inputs kept per output, at least 1, as He et al. draw them for ReLU
    networks; the gains that the expanded layers have themselves are cancelled.
    """
    gains = {}
    for name, drawn in ticket.random.items():
        inputs = max(1.0, densities[name] * math.prod(drawn.shape[1:]))
        gains[name] = math.sqrt(2 / inputs) / _size(drawn)
    for layer in expansion.layers:
        gains[f"{layer.name}.sum.weight"] /= expansion.gains[layer.weight]
    return gains


def _size(drawn: Drawn) -> float:
    """Root of the mean square of its distribution."""
    return float(np.sqrt(np.mean(drawn.distribution.quantile(LEVELS) ** 2)))
