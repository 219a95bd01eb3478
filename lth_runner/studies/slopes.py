"""How fast something falls: slopes of straight lines through logarithms, with intervals over independent seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True, kw_only=True)
class Slope:
    """The mean of the seeds' own least-squares slopes.

    Attributes:
        value: of ln y over ln x (a power) or over x (an exponential rate).
        low, high: of Student's confidence interval over the seeds; None of one seed.
        straight: share of the variance of ln y that the lines explain, mean over the seeds: 1 is a straight line.
    """

    value: float
    low: float | None
    high: float | None
    straight: float

    def text(self) -> str:
        """For a person: -1.98 [-2.10, -1.86]."""
        return f"{self.value:.3g}" + ("" if self.low is None else f" [{self.low:.3g}, {self.high:.3g}]")


def power(x: Sequence[float], curves: Sequence[Sequence[float]], confidence: float) -> Slope | None:
    """k where y ~ x^k; see `exponential`."""
    return exponential([float(np.log(value)) for value in x], curves, confidence)


def exponential(x: Sequence[float], curves: Sequence[Sequence[float]], confidence: float) -> Slope | None:
    """k where y ~ exp(k x); None with fewer than two x, or where a y is not above 0.

    The points of one curve depend on each other, so the interval is that of a mean of slopes, one per curve, and not of
    the residuals along a curve.

    Args:
        x: (P,).
        curves: (seeds, P).
        confidence: of the interval, in (0, 1).
    """
    y = np.array(curves, dtype=np.float64)
    if len(x) < 2 or not y.size or not (y > 0).all():
        return None
    fits = [_line(np.array(x, dtype=np.float64), np.log(row)) for row in y]
    slopes, straight = np.array([fit[0] for fit in fits]), float(np.mean([fit[1] for fit in fits]))
    value, low, high = float(slopes.mean()), None, None
    if len(slopes) > 1:
        half = float(t.ppf((1 + confidence) / 2, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes)))
        low, high = value - half, value + half
    return Slope(value=value, low=low, high=high, straight=straight)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of the least-squares line, and the share of the variance that it explains."""
    slope, offset = np.polyfit(x, y, 1)
    total = float(((y - y.mean()) ** 2).sum())
    return float(slope), 1 - float(((y - slope * x - offset) ** 2).sum()) / total if total > 0 else 1.0
