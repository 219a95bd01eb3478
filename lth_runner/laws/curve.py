"""One line of a figure about SubsetSum alone: what is offered, what is sought, and how."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.laws.first_hits import Hits, Search
from lth_runner.laws.instances import Law
from lth_runner.networks.layers import approximable
from lth_runner.problem import Method, Problem


@dataclass(frozen=True)
class Drawn:
    """Instances.

    Attributes:
        values, usable: (problems, B, draws).
        targets: (B,).
    """

    values: np.ndarray
    usable: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Many instances of one law, each followed until it succeeds.

    Attributes:
        label: for people.
        instances: how many.
        targets: distribution of the target weights; None: those of the run's target network, each equally likely.
    """

    label: str
    law: Law
    targets: Distribution | None
    search: Search
    instances: int

    def __post_init__(self) -> None:
        checks.integer("instances", self.instances, at_least=1)

    def hits(self, problem: Problem, epsilons: np.ndarray, recorder: Recorder) -> Hits:
        """When each instance succeeds.

        Args:
            epsilons: descending.

        Raises:
            ConfigError: target weights are needed and there is no target.
        """
        law = self.fitted_law(problem)
        found = []
        with recorder.progress(self.label, self.instances) as bar:
            for path, targets in self.blocks(problem):
                found.append(self.search.first(law, problem.streams, path, targets, epsilons))
                bar.advance(targets.size)
        return Hits(np.concatenate([hits.first for hits in found]), np.concatenate([hits.given_up for hits in found]))

    def blocks(self, problem: Problem) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """The measured instances, as many at a time as the search takes: the path of their numbers, their targets."""
        weights = self._weights(problem)
        for start in range(0, self.instances, self.search.block):
            count = min(self.search.block, self.instances - start)
            targets = self._targets(problem.streams.uniform(("targets",), start, count), weights)
            yield ("values", type(self.search).__name__, str(start // self.search.block)), targets

    def targets_at(self, problem: Problem, levels: np.ndarray) -> np.ndarray:
        """The targets at levels in (0, 1): quantiles of their distribution, or weights of the target network."""
        weights = self._weights(problem)
        return self._targets(levels, None if weights is None else np.sort(weights))

    def fitted_law(self, problem: Problem) -> Law:
        """The law with what it copies from the target network fitted to that."""
        return self._fitted(self._weights(problem))

    def drawn(self, problem: Problem, path: tuple[str, ...], start: int, count: int, draws: int) -> Drawn:
        """Instances of the same law beside those that are measured: other numbers, other targets.

        Args:
            path: of their streams.
            start, count: which of them.
            draws: numbers of each of an instance's problems.
        """
        weights = self._weights(problem)
        targets = self._targets(problem.streams.uniform((*path, "targets"), start, count), weights)
        block = (*path, "values", str(start))
        return Drawn(*self._fitted(weights).draw(problem.streams, block, count, 0, draws), targets)

    def _weights(self, problem: Problem) -> np.ndarray | None:
        weights = every_weight(problem)
        if weights is None and self.targets is None:
            raise ConfigError(f"{self.label} takes its targets from a target network and there is none: set targets")
        return weights

    def _fitted(self, weights: np.ndarray | None) -> Law:
        return self.law.fitted(None if weights is None else (float(weights.min()), float(weights.max())))

    def _targets(self, levels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if self.targets is not None:
            return self.targets.quantile(levels)
        assert weights is not None, "checked by _weights"
        return weights[(levels * weights.size).astype(np.int64)]


def every_weight(problem: Problem) -> np.ndarray | None:
    """All weights and biases of the target network that could be approximated, (W,); None where there is none."""
    if problem.target is None or problem.network is None:
        return None
    return np.concatenate([problem.target[name].ravel() for name in approximable(problem.network)])


def check_no_methods(methods: Mapping[str, Method]) -> None:
    """Refuses methods, which a study of curves would ignore."""
    if methods:
        raise ConfigError(f"this study follows its own curves: leave out compare and method, got {', '.join(methods)}")
