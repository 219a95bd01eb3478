"""The first n at which an instance succeeds. More random numbers never hurt, so that this one number tells for every n.

An instance is followed while n grows, and only as long as it fails: a point of a curve that needs a thousand instances
to fail once costs next to nothing. Points of one curve share their instances, and so do curves of different laws.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numba
import numpy as np

from lth_runner.core import checks
from lth_runner.core.streams import Streams
from lth_runner.laws.instances import Law
from lth_runner.subset_sum.interface import SubsetSumSolver

NEVER = 1 << 62  # the first n of an instance that no n looked at solves
FEWEST, MOST = 64, 1 << 14  # numbers that `OneBest` draws at a time: most instances need few, and caches are small


@dataclass(frozen=True)
class Hits:
    """When instances succeeded.

    Attributes:
        first: (instances, epsilons) int64, the smallest n that approximates the target weight; 0 where none of the
            random numbers is needed; NEVER.
        given_up: (instances given up,) int64, the n from which each is followed no longer, because it may use more
            numbers than the search can take; it counts as a failure.
    """

    first: np.ndarray
    given_up: np.ndarray

    def failures(self, n: int) -> np.ndarray:
        """(epsilons,) instances not within epsilon with n."""
        return np.count_nonzero(self.first > n, axis=0)

    def known_to(self, n: int) -> int:
        """The largest n, up to the given one, to which every instance was followed."""
        return int(min(n, self.given_up.min(initial=n + 1) - 1))


@runtime_checkable
class Search(Protocol):
    """One way to approximate a target weight. Implementations are frozen keyword-only dataclasses.

    Attributes:
        growth: how n is expected to grow: "logarithm" (n = C log2(1/epsilon) + D) or "power" (n ~ epsilon^-k).
        block: instances drawn and followed together.
    """

    growth: ClassVar[str]
    block: ClassVar[int]

    @property
    def max_n(self) -> int:
        """Instances are followed so far."""
        ...

    def first(
        self, law: Law, streams: Streams, path: tuple[str, ...], targets: np.ndarray, epsilons: np.ndarray
    ) -> Hits:
        """When each instance of one block succeeds.

        Args:
            path: of the block's streams.
            targets: (instances,).
            epsilons: (epsilons,), descending.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SubsetSums:
    """The closest sum of any subset: exact search whenever n grows.

    Attributes:
        max_values: numbers that one search may use; exact search takes 2^(max_values / 2) steps.
    """

    growth: ClassVar[str] = "logarithm"
    block: ClassVar[int] = 1 << 14
    max_n: int
    max_values: int
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.integer("max_n", self.max_n, at_least=1)
        checks.integer("max_values", self.max_values, at_least=1)

    def first(
        self, law: Law, streams: Streams, path: tuple[str, ...], targets: np.ndarray, epsilons: np.ndarray
    ) -> Hits:
        problems = zip(*law.draw(streams, path, targets.size, 0, self.max_n // law.offered_per_draw), strict=True)
        draws, given_up = zip(*(self._solve(*problem, targets, epsilons) for problem in problems), strict=True)
        lost = np.minimum.reduce(given_up)
        return Hits(_as_n(np.maximum.reduce(draws), law), _as_n(lost[lost < NEVER], law))

    def _solve(
        self, values: np.ndarray, usable: np.ndarray, targets: np.ndarray, epsilons: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of one problem: (B, E) draws up to the first success, and (B,) those at which it was given up, or NEVER.

        Args:
            values, usable: (B, draws).
        """
        draw = np.argsort(~usable, axis=1, kind="stable")  # usable ones first, in their order
        values = np.take_along_axis(values, draw[:, : self.max_values], axis=1)
        num_usable = usable.sum(axis=1)
        first = np.where(np.abs(targets)[:, None] <= epsilons, 0, NEVER)
        for k in range(1, min(self.max_values, int(num_usable.max(initial=0))) + 1):
            rows = np.flatnonzero((first[:, -1] == NEVER) & (num_usable >= k))
            if rows.size:
                offered = np.ascontiguousarray(values[rows, :k])
                error = self.solver.solve(offered, targets[rows], float(epsilons[-1]), "closest").error
                hit = (error[:, None] <= epsilons) & (first[rows] == NEVER)
                first[rows] = np.where(hit, draw[rows, k - 1, None] + 1, first[rows])
        lost = np.flatnonzero((first[:, -1] == NEVER) & (num_usable > self.max_values))
        given_up = np.full(targets.size, NEVER)
        given_up[lost] = draw[lost, self.max_values] + 1 if lost.size else NEVER
        return first, given_up


@dataclass(frozen=True, kw_only=True)
class OneBest:
    """The single best number, as in Malach et al.: numbers are drawn until one comes within epsilon."""

    growth: ClassVar[str] = "power"
    block: ClassVar[int] = 256
    max_n: int

    def __post_init__(self) -> None:
        checks.integer("max_n", self.max_n, at_least=1)

    def first(
        self, law: Law, streams: Streams, path: tuple[str, ...], targets: np.ndarray, epsilons: np.ndarray
    ) -> Hits:
        def follow(b: int) -> np.ndarray:
            return self._follow(law, streams, (*path, str(b)), float(targets[b]), epsilons)

        with ThreadPoolExecutor(numba.get_num_threads()) as pool:
            draws = np.stack(list(pool.map(follow, range(targets.size))))
        return Hits(_as_n(draws, law), np.zeros(0, np.int64))

    def _follow(
        self, law: Law, streams: Streams, path: tuple[str, ...], target: float, epsilons: np.ndarray
    ) -> np.ndarray:
        """(E,) draws of one instance up to the first success in all of its problems."""
        most = self.max_n // law.offered_per_draw
        start, stop = 0, min(FEWEST, most)
        first = np.where(abs(target) <= epsilons, 0, NEVER)[None]
        while start < most and (first[:, -1] == NEVER).any():
            values, usable = law.draw(streams, path, 1, start, stop)
            error = np.where(usable, np.abs(values - target), np.inf)[:, 0]
            first = np.broadcast_to(first, (len(error), epsilons.size)).copy()
            for problem, e in np.argwhere((first == NEVER) & (error.min(axis=1)[:, None] <= epsilons)):
                first[problem, e] = start + np.argmax(error[problem] <= epsilons[e]) + 1
            start, stop = stop, min(stop + min(stop, MOST), most)
        return first.max(axis=0)


def _as_n(draws: np.ndarray, law: Law) -> np.ndarray:
    """What is offered with so many draws in each problem."""
    return np.where(draws == NEVER, NEVER, np.minimum(draws, NEVER // 2) * law.offered_per_draw)
