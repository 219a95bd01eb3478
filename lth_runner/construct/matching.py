"""Random numbers in the scale of the weights that sums of them stand for."""

import math
from dataclasses import dataclass

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.distributions.interface import Distribution
from lth_runner.ticket.source import Scales

MATCH = ("none", "tensor", "row", "group")
LEVELS = (np.arange(4096) + 0.5) / 4096  # where a distribution is looked at for its means
VARIANCE = {"zero_one": 1 / 4, "signs": 1.0, "signed": 2 / 3}  # of one entry of a mask, all its values equally likely


@dataclass(frozen=True, kw_only=True)
class Matching:
    """How large the sums of scaled numbers are, beside the weights that they stand for.

    A scale is the least number with which random sums have `factor` times the size of the weights (roots of mean
    squares; of sums with random masks, about the mean that they have given the numbers), and the largest weight takes
    no more than `reach` of the largest sum. A wider range than that wastes numbers: each halving of the scale saves one
    number for each weight.

    Attributes:
        factor: larger ones serve large weights better, and the others worse.
        reach: a share; None: large weights do not count by themselves.
        group: at most so many weights of a row share a scale, where groups are matched.
    """

    factor: float
    reach: float | None
    group: int

    def __post_init__(self) -> None:
        checks.positive("matching.factor", self.factor)
        if self.reach is not None:
            checks.positive("matching.reach", self.reach)
            checks.fraction("matching.reach", self.reach)
        checks.integer("matching.group", self.group, at_least=1)

    def scale(self, size: np.ndarray, largest: np.ndarray, spread: float, top: float) -> np.ndarray:
        """The factors for weights of these sizes.

        Args:
            size: roots of mean squares; largest: absolute values, of the same shape.
            spread: standard deviation of sums before they are scaled.
            top: the largest of these sums.
        """
        scale = self.factor * size / spread
        return scale if self.reach is None else np.maximum(scale, largest / (self.reach * top))

    def scales(self, weight: np.ndarray, match: str, mask: str, centred: bool, law: Distribution, n: int) -> Scales:
        """Those of one tensor of weights, as they are stored.

        Args:
            match: "tensor", "row" or "group"; a vector is one row.
            mask: "zero_one", "signs" or "signed".
            centred: whether half of the sum of all numbers is subtracted.
            law: of the numbers before they are scaled, already fitted.
            n: numbers for each weight.

        Raises:
            ConfigError: a scale is too large for half precision, or no sum reaches weights of one sign.
        """
        spread, top = sums(law, n, mask, centred)
        rows = weight.reshape(len(weight) if match != "tensor" and weight.ndim > 1 else 1, -1)
        size, largest = sizes(rows, self.group if match == "group" else rows.shape[1])
        scale = self.scale(size, largest, spread, top)
        with np.errstate(over="ignore"):
            rounded = scale.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise ConfigError(f"weights as large as {largest.max():.3g} need a scale beyond float16: set match=none")
        return Scales(array=rounded)


def sizes(rows: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Roots of mean squares and largest absolute values of groups of at most so many columns, (rows, groups) each.

    All groups are equally wide but for the last.
    """
    columns = rows.shape[1]
    starts = np.arange(0, columns, -(-columns // -(-columns // group)))
    counts = np.diff(starts, append=columns)
    return np.sqrt(np.add.reduceat(rows**2, starts, axis=1) / counts), np.maximum.reduceat(np.abs(rows), starts, axis=1)


def sums(law: Distribution, n: int, mask: str, centred: bool) -> tuple[float, float]:
    """Of sums of n numbers of this law: their standard deviation over random masks, and the largest to be expected.

    Raises:
        ConfigError: the law gives numbers of one sign only, and sums of the other are sought.
    """
    numbers = law.quantile(LEVELS)
    spread = math.sqrt(n * VARIANCE[mask] * float(np.mean(numbers**2)))
    if mask == "zero_one" and not centred:
        top = n * min(float(np.maximum(signed, 0).mean()) for signed in (numbers, -numbers))
    else:
        top = n * float(np.abs(numbers).mean()) * (0.5 if centred else 1.0)
    if top == 0:
        raise ConfigError(f"{law} gives numbers of one sign only, so that weights of the other are out of reach")
    return spread, top
