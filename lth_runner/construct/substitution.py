"""Target weights rebuilt one by one from random numbers: the paper's Experiment 1, whoever chooses the subset.

No random network is pruned here: the ticket's masked sums stand where the target's weights stood. The paper calls the
result the pruned network; the theorem's network, twice as deep, is another method.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.problem import Problem
from lth_runner.subset_sum.interface import Status, Subsets
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket

SHARING = ("weight", "row")
BLOCK = 1 << 15  # instances solved at a time: bounds memory, and is how often progress is told

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
    """What random numbers each target weight may use.

    Attributes:
        n: random numbers on offer per target weight.
        sharing: "weight": fresh numbers for each weight, as the paper counts them; "row": one vector per output row,
            used by all weights of the row, as the published code really draws them.
        distribution: of the random numbers.
    """

    n: int
    sharing: str
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        checks.choice("sharing", self.sharing, SHARING)


def substitute(problem: Problem, recorder: Recorder, offer: Offer, label: str, choose: Choose) -> Ticket:
    """A ticket whose layers are masked sums of offered numbers, chosen weight by weight.

    Args:
        label: shown beside the progress bar.
        choose: picks one subset per instance.

    Raises:
        ConfigError: the problem has no target network.
    """
    if problem.target is None or problem.network is None:
        raise ConfigError("this method approximates a target network and there is none: add target=trained")
    every_weight = np.concatenate([weight.ravel() for weight in problem.target.values()])
    _warm_up(choose, offer.n)
    tensors, masks = {}, {}
    unsolved, solve_time = 0, 0.0
    with recorder.progress(label, every_weight.size) as bar:
        for name, weight in problem.target.items():
            tensors[name] = _tensor(name, weight.shape, offer, every_weight)
            chosen = np.empty((weight.size, offer.n), dtype=bool)
            for where, values in _blocks(tensors[name], weight, offer, problem.streams.seed):
                started = time.perf_counter()
                answer = choose(values, weight.ravel()[where])
                solve_time += time.perf_counter() - started
                chosen[where] = answer.chosen
                unsolved += int(np.count_nonzero(answer.status == Status.UNSOLVED))
                bar.advance(where.stop - where.start)
            masks[name] = Mask.pack(chosen.reshape(*weight.shape, offer.n))
    facts = {"n": offer.n, "solve_time_s": solve_time, "unsolved": unsolved}
    return Ticket(network=problem.network, seed=problem.streams.seed, tensors=tensors, masks=masks, facts=facts)


def _warm_up(choose: Choose, n: int) -> None:
    """Lets a solver compile itself before the clock runs: two instances, one of them out of reach."""
    choose(np.linspace(-1.0, 1.0, 2 * n).reshape(2, n), np.array([0.3, 1.0 + n]))


def _tensor(name: str, shape: tuple[int, ...], offer: Offer, every_weight: np.ndarray) -> RandomTensor:
    shared = (shape[0], *[1] * (len(shape) - 1)) if offer.sharing == "row" else shape
    distribution: Any = offer.distribution.fitted(shape, every_weight)
    return RandomTensor(shape=(*shared, offer.n), distribution=distribution, path=("coefficients", name))


def _blocks(tensor: RandomTensor, weight: np.ndarray, offer: Offer, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Instances of one layer, a block at a time: where in the flattened weights, and the values on offer there."""
    if offer.sharing == "weight":
        for start in range(0, weight.size, BLOCK):
            count = min(BLOCK, weight.size - start)
            yield (
                slice(start, start + count),
                tensor.draw(seed, start * offer.n, count * offer.n).reshape(count, offer.n),
            )
        return
    row = weight.size // weight.shape[0]
    for k in range(weight.shape[0]):
        yield slice(k * row, (k + 1) * row), tensor.draw(seed, k * offer.n, offer.n).reshape(1, offer.n)
