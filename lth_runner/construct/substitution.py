"""Target weights rebuilt one by one from random numbers: the paper's Experiment 1, by whatever choice of the subset.

No random network is pruned here: the ticket's masked sums stand where the target's weights stood. The paper calls the
result the pruned network; the theorem's network, twice as deep, is another method.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lth_runner.construct.matching import MATCH, Matching
from lth_runner.construct.prepare import prepared, stored, target_range, without
from lth_runner.construct.sums import warn_of_unsolved
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import Architecture, parameter_shapes, state_shapes
from lth_runner.networks.layers import approximable
from lth_runner.problem import Found, Problem
from lth_runner.subset_sum.interface import Status, Subsets
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source
from lth_runner.ticket.ticket import Ticket

SHARING = ("weight", "row")
MASKS = ("zero_one", "signs", "signed")
BLOCK = 1 << 15  # instances solved at a time: bounds memory, and is how often progress is reported; a multiple of eight

Choose = Callable[[np.ndarray, np.ndarray], Subsets]  # values (B, n) or (1, n), targets (B,) -> answers


def offered_per_weight(n: int | None, c: int, epsilon: float) -> int:
    """n if given, else int(c * round(log2(1 / epsilon))), as the published code has it; its README says round(c * ...).

    Raises:
        ConfigError: the result is below 1.
    """
    checks.positive("epsilon", epsilon)
    if n is not None:
        checks.integer("n", n, at_least=1)
        return n
    checks.integer("c", c, at_least=1)
    count = int(c * round(math.log2(1 / epsilon)))
    if count < 1:
        raise ConfigError(f"epsilon={epsilon} with c={c} offers no random weights: give n, or a smaller epsilon")
    return count


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What random numbers each target weight may use, and how.

    Attributes:
        n: random numbers on offer per target weight.
        sharing: "weight": fresh numbers for each weight, as the paper counts them; "row": one vector per output row,
            used by all weights of the row, as the published code really draws them.
        mask: what a mask does with the numbers a_j. As a network that is pruned, with m in {0, 1}^n or {0, 1}^2n:
            "zero_one": w ~ sum_j m_j a_j: random edges a_j, pruned or kept; 1 bit a number is stored.
            "signs": w ~ sum_j x_j a_j with x = 2 m - 1 in {-1, 1}^n: random edges 2 a_j, pruned or kept, and one edge
            more for each weight, of weight -sum_j a_j, which the seed knows and nothing stores; 1 bit a number.
            "signed": w ~ sum_j x_j a_j with x in {-1, 0, 1}^n, as in a signed supermask: two edges for each number,
            a_j and -a_j, of which one is kept, or none; 2 bits a number, and at most log2(3) entropy-coded.
        centred: of zero_one: one edge more for each weight, of weight -sum_j a_j / 2: w ~ sum_j x_j a_j / 2 with x in
            {-1, 1}^n.
        match: whether numbers are scaled for the weights that they stand for: "none"; "tensor", "row", "group": the
            numbers of such a part of the weights are s a_j, and s is stored with 16 bits.
        matching: how s is chosen, where it is.
        stored: patterns of parameter names that are not approximated but stored.
        distribution: of the random numbers.
    """

    n: int
    sharing: str
    mask: str
    centred: bool
    match: str
    matching: Matching | None
    stored: Sequence[str]
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        checks.choice("sharing", self.sharing, SHARING)
        checks.choice("mask", self.mask, MASKS)
        checks.boolean("centred", self.centred)
        checks.choice("match", self.match, MATCH)
        if self.centred and self.mask != "zero_one":
            raise ConfigError(f"sums with mask={self.mask} have no offset that could be subtracted: set centred=false")
        if self.match == "group" and self.sharing == "row":
            raise ConfigError("the weights of a row that share their numbers share a scale too: set match=row")

    @property
    def values(self) -> int:
        """Numbers that a solver chooses from for each weight."""
        return self.n * (2 if self.mask == "signed" else 1)

    def drawn(self, name: str, weight: np.ndarray, span: tuple[float, float]) -> Drawn:
        """The random numbers for one parameter: one axis more than that has."""
        shared = (len(weight), *[1] * (weight.ndim - 1)) if self.sharing == "row" else weight.shape
        law, scales = self.distribution.fitted((*shared, self.n), span), None
        if self.matching is not None and self.match != "none":
            scales = self.matching.scales(weight, self.match, self.mask, self.centred, law, self.n)
        return Drawn(
            shape=(*shared, self.values),
            distribution=law,
            stream=("coefficients", name),
            scale=2.0 if self.mask == "signs" else 1.0,
            centred=self.centred or self.mask == "signs",
            mirrored=self.mask == "signed",
            scales=scales,
        )


def count_offered(network: Architecture, offer: Offer) -> int:
    """Random numbers on offer for a target of this architecture; see `Offers`."""
    shapes = parameter_shapes(network)
    return offer.values * sum(math.prod(shapes[name]) for name in without(approximable(network), offer.stored))


class Substitution:
    """Chooses for tensor after tensor and adds up what it took."""

    def __init__(self, offer: Offer, seed: int, choose: Choose) -> None:
        self.unsolved, self.solve_time = 0, 0.0
        self._offer, self._seed, self._choose = offer, seed, choose

    def mask(self, drawn: Drawn, weight: np.ndarray, bar: Progress) -> Mask:
        """The numbers kept for each weight, packed block by block: memory does not grow with the tensor."""
        flat, n = weight.reshape(-1), self._offer.values
        bits, pending = np.zeros(-(-flat.size * n // 8), np.uint8), np.zeros(0, bool)
        filled = 0
        for where, values in self._blocks(drawn, weight):
            chosen = np.concatenate((pending, self.solve(values, flat[where]).reshape(-1)))  # rows may end within bytes
            whole = chosen.size if where.stop == flat.size else chosen.size // 8 * 8
            packed = np.packbits(chosen[:whole])
            bits[filled : filled + packed.size] = packed
            filled, pending = filled + packed.size, chosen[whole:]
            bar.advance(where.stop - where.start)
        return Mask((*weight.shape, n), bits)

    def solve(self, values: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(B, n) bool: the numbers chosen for B targets (B,) out of (B, n), or out of (1, n) that they share."""
        started = time.perf_counter()
        if self._offer.centred or self._offer.mask == "signs":
            targets = targets + values.sum(axis=1) / 2  # what is subtracted later
        answer = self._choose(values, targets)
        self.solve_time += time.perf_counter() - started
        self.unsolved += int(np.count_nonzero(answer.status == Status.UNSOLVED))
        return without_pairs(answer.chosen) if self._offer.mask == "signed" else answer.chosen

    def _blocks(self, drawn: Drawn, weight: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Instances of one tensor, a block at a time: where in the flattened weights, and the values on offer there."""
        n = self._offer.values
        if self._offer.sharing == "weight":
            for start in range(0, weight.size, BLOCK):
                count = min(BLOCK, weight.size - start)
                yield slice(start, start + count), drawn.draw(self._seed, start * n, count * n).reshape(count, n)
            return
        row = weight.size // weight.shape[0]
        for k in range(weight.shape[0]):
            yield slice(k * row, (k + 1) * row), drawn.draw(self._seed, k * n, n).reshape(1, n)


def without_pairs(chosen: np.ndarray) -> np.ndarray:
    """The same choices (B, 2 n) of mirrored numbers, with none of a pair where both are chosen: no difference."""
    pairs = chosen.reshape(len(chosen), -1, 2)
    return (pairs & ~pairs.all(axis=2, keepdims=True)).reshape(chosen.shape)


def approximated(network: Architecture, patterns: Sequence[str]) -> list[str]:
    """The names of the weights that are approximated.

    Args:
        patterns: of those that are stored instead.

    Raises:
        ConfigError: there are none, or a pattern matches none.
    """
    names = without(approximable(network), patterns)
    if not names:
        raise ConfigError("the network has no weights that could be approximated")
    return names


def masks_one_by_one(
    problem: Problem, drawn: Mapping[str, Drawn], work: Substitution, recorder: Recorder, bar: Progress
) -> dict[str, Mask]:
    """The numbers kept for each weight, whatever is kept for others."""
    del recorder
    (target,) = problem.need("target")
    return {name: work.mask(tensor, target[name], bar) for name, tensor in drawn.items()}


Masks = Callable[[Problem, Mapping[str, Drawn], Substitution, Recorder, Progress], dict[str, Mask]]


def substitute(
    problem: Problem,
    recorder: Recorder,
    offer: Offer,
    label: str,
    choose: Choose,
    masks_of: Masks = masks_one_by_one,
) -> Found:
    """A ticket whose weights are masked sums of offered numbers, chosen weight by weight.

    Args:
        label: shown beside the progress bar.
        choose: picks one subset per instance.
        masks_of: goes through the tensors, by their random numbers.

    Raises:
        ConfigError: the problem has no target network, or nothing to calibrate on where that is asked for.
    """
    problem = prepared(problem)
    network, target = problem.need("network", "target")
    names = approximated(network, offer.stored)
    span = target_range(target, names)
    _warm_up(choose, offer.values)
    work = Substitution(offer, problem.streams.seed, choose)
    drawn = {name: offer.drawn(name, target[name], span) for name in names}
    total = sum(target[name].size for name in names)
    with recorder.progress(label, total) as bar:
        masks = masks_of(problem, drawn, work, recorder, bar)
    warn_of_unsolved(label, work.unsolved, total, recorder)
    weights: dict[str, Source] = {
        name: drawn[name] if name in drawn else stored(target[name]) for name in state_shapes(network)
    }
    facts = {"n": offer.n, "unsolved": work.unsolved}
    ticket = Ticket(architecture=network, seed=problem.streams.seed, weights=weights, masks=masks, facts=facts)
    return Found(ticket=ticket, times={"solve_time_s": work.solve_time})


def _warm_up(choose: Choose, n: int) -> None:
    """Lets a solver compile itself before the clock runs: two instances, one of them out of reach."""
    choose(np.linspace(-1.0, 1.0, 2 * n).reshape(2, n), np.array([0.3, 1.0 + n]))
