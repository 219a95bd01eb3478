"""Simulated annealing over masks, every weight for itself."""

from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.compiled import compiled
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.laws.sum_search.interface import Chosen, Sums, kept


@dataclass(frozen=True, kw_only=True)
class Annealing:
    """Turns one number or two of the mask over, as often as that helps, and by chance where it does not.

    A step that makes the error |e| larger by g is taken with probability exp(-g / T); T falls geometrically. The best
    mask that was seen is what it ends with. With T far above 1 throughout, every step is taken: a random walk, whose
    best mask is about that of so many random ones.

    Attributes:
        steps: for each weight.
        hottest, coldest: T at the first and at the last step, in units of the numbers' mean size.
    """

    steps: int
    hottest: float
    coldest: float

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps, at_least=1)
        if not 0 < self.coldest <= self.hottest:
            raise ConfigError(f"annealing cools down: give 0 < coldest <= hottest, got {self.coldest}, {self.hottest}")

    def find(self, sums: Sums, streams: Streams) -> Chosen:
        values = np.ascontiguousarray(sums.values.reshape(-1, sums.values.shape[2]))
        chosen = np.empty(values.shape, bool)
        share = np.arange(self.steps) / max(self.steps - 1, 1)
        cooling = self.hottest * (self.coldest / self.hottest) ** share
        for b, target in enumerate(sums.targets.flat):
            generator = streams("annealing", str(b))
            chosen[b] = generator.integers(2, size=values.shape[1])
            anneal(values[b], float(target), cooling, generator, chosen[b])
        return kept(sums, chosen.reshape(sums.values.shape))


@compiled(nogil=True)
def anneal(
    row: np.ndarray, target: float, cooling: np.ndarray, generator: np.random.Generator, chosen: np.ndarray
) -> None:
    """Starts from the mask in `chosen` and leaves the best one there."""
    n, unit = row.size, np.abs(row).mean()
    mask = chosen.copy()
    error = (row * mask).sum() - target
    best = abs(error)
    for temperature in cooling:
        i = generator.integers(0, n)
        j = generator.integers(0, n) if generator.random() < 0.5 else i
        moved = error + (-row[i] if mask[i] else row[i])
        if j != i:
            moved += -row[j] if mask[j] else row[j]
        worse = abs(moved) - abs(error)
        if worse <= 0 or generator.random() < np.exp(-worse / (temperature * unit)):
            mask[i] = not mask[i]
            if j != i:
                mask[j] = not mask[j]
            error = moved
            if abs(error) < best:
                best = abs(error)
                chosen[:] = mask
