"""How sure counted results are: exact binomial intervals, quantiles with intervals, fits with bootstrap intervals."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, binom


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval, which f"{estimate:.3f}" shows as 1.234 [1.200, 1.300]."""

    value: float
    low: float
    high: float

    def __format__(self, digits: str) -> str:
        return f"{self.value:{digits}} [{self.low:{digits}}, {self.high:{digits}}]"

    def flat(self, name: str) -> dict[str, float]:
        """The three numbers for a summary: name, name_low, name_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def binomial_interval(counts: Any, trials: Any, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Clopper and Pearson's interval for a probability: exact, so that it covers at least as often as it says.

    Args:
        counts: of successes, any shape.
        trials: the same shape, or one number for all.
    """
    counts, trials = np.broadcast_arrays(np.asarray(counts), np.asarray(trials))
    tail = (1 - confidence) / 2
    low = np.where(counts > 0, beta.ppf(tail, np.maximum(counts, 1), trials - counts + 1), 0.0)
    high = np.where(counts < trials, beta.ppf(1 - tail, counts + 1, np.maximum(trials - counts, 1)), 1.0)
    return low, high


def quantile_interval(values: np.ndarray, share: float, confidence: float) -> tuple[int, int, int]:
    """The smallest n such that at least `share` of the values are <= n, and its confidence interval (low, high).

    An n lies in the interval unless the binomial interval of the share of values <= n excludes `share`. Values beyond
    everything that was looked at may stand for "never".
    """
    ordered = np.sort(values)
    low, high = binomial_interval(np.arange(values.size + 1), values.size, confidence)
    at = math.ceil(share * values.size - 1e-9)  # 0.95 * 100 is a little more than 95
    enough = np.argmax(high >= share), at, np.argmax(low >= share) if low[-1] >= share else values.size
    first, middle, last = (int(ordered[max(count, 1) - 1]) for count in enough)
    return middle, first, last


def order_quantile(values: np.ndarray, level: float, confidence: float) -> Estimate:
    """The quantile of continuous values, with the interval between two of them that the binomial law gives.

    The value of rank r is below the quantile with probability P(Binomial(B, level) >= r), whatever the distribution.
    """
    ordered, count = np.sort(values), values.size
    tail = (1 - confidence) / 2
    low, middle, high = (int(binom.ppf(share, count, level)) for share in (tail, 0.5, 1 - tail))
    ranks = (min(max(rank, 0), count - 1) for rank in (middle, low - 1, high))
    return Estimate(*(float(ordered[rank]) for rank in ranks))


def crossing(values: np.ndarray, share: float) -> float:
    """Where the share of values <= n reaches `share`, between whole n by straight lines: smooth enough for fits."""
    rank = share * values.size
    n = np.partition(values, math.ceil(rank - 1e-9) - 1)[math.ceil(rank - 1e-9) - 1]
    below, up_to = np.count_nonzero(values < n), np.count_nonzero(values <= n)
    return float(n - 1 + (rank - below) / (up_to - below)) if n > 0 else 0.0


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the least-squares line."""
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(offset)


def bootstrap(
    sample: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    resamples: int,
    confidence: float,
    generator: np.random.Generator,
) -> list[Estimate]:
    """Each number of a statistic with its percentile interval over samples redrawn from the sample's rows."""
    rows = len(sample)
    redrawn = [statistic(sample[generator.integers(rows, size=rows)]) for _ in range(resamples)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(redrawn, [tail, 1 - tail], axis=0)
    return [Estimate(*map(float, numbers)) for numbers in zip(statistic(sample), low, high, strict=True)]


def decay(failures: np.ndarray, start: int, stop: int, confidence: float) -> Estimate:
    """By what each step multiplies the number of failures, from index `start` to `stop`.

    If failures fall exponentially, each of those left at a step fails again with one probability q. Its estimate is the
    pooled share, with the exact binomial interval. A q that does not rise along the way is exponential decay or faster.

    Args:
        failures: of the same instances at steps 0, 1, ...: never rising, and above 0 at `start`.
    """
    exposed, failed = int(failures[start:stop].sum()), int(failures[start + 1 : stop + 1].sum())
    if exposed == 0:  # an empty stretch says nothing
        return Estimate(1.0, 0.0, 1.0)
    low, high = binomial_interval(failed, exposed, confidence)
    return Estimate(failed / exposed, float(low), float(high))
