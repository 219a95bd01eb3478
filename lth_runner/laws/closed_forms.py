"""What can be known without drawing: failure shares of laws over U[-1, 1] with target weights w ~ U[-1, 1].

A target weight with |w| <= epsilon is approximated by the empty subset.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from scipy.special import comb

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(400)
TERMS = 60  # of the series; the last is below 1e-20 for n up to 1000


@runtime_checkable
class ClosedForm(Protocol):
    """A failure share as a formula. Implementations are frozen keyword-only dataclasses."""

    @property
    def label(self) -> str:
        """For people."""
        ...

    def failure(self, n: Any, epsilon: float) -> np.ndarray:
        """The probability of failure for n of any shape; epsilon <= 1/2."""
        ...


@dataclass(frozen=True, kw_only=True)
class OneBestDirect:
    """None of n numbers U[-1, 1] is within epsilon of w.

    One number hits with probability epsilon where |w| <= 1 - epsilon, and (1 - |w| + epsilon) / 2 nearer the edge:
    (1 - 2 epsilon) (1 - epsilon)^n + 2 / (n + 1) ((1 - epsilon / 2)^(n + 1) - (1 - epsilon)^(n + 1)).
    """

    label: str

    def failure(self, n: Any, epsilon: float) -> np.ndarray:
        n = np.asarray(n, float)
        inner, edge = np.exp(n * math.log1p(-epsilon)), np.exp((n + 1) * math.log1p(-epsilon / 2))
        return (1 - 2 * epsilon) * inner + 2 / (n + 1) * (edge - (1 - epsilon) * inner)


@dataclass(frozen=True, kw_only=True)
class OneBestProduct:
    """None of n hidden neurons, of which half are lost, has a product of two weights U[-1, 1] within epsilon of w.

    The product of U[0, 1] and U[-1, 1] has density -ln|x| / 2, whose primitive is x (1 - ln|x|) / 2. Averaged over
    w > 0 by Gauss and Legendre's rule, apart where the product's range ends.
    """

    label: str

    def failure(self, n: Any, epsilon: float) -> np.ndarray:
        n = np.asarray(n, float)[..., None]
        total = np.zeros(n.shape[:-1])
        for start, stop in ((epsilon, 1 - epsilon), (1 - epsilon, 1.0)):
            w = start + (stop - start) * _towards_one((POINTS + 1) / 2)
            hit = 0.5 * (_primitive(np.minimum(w + epsilon, 1)) - _primitive(w - epsilon))
            weights = (stop - start) / 2 * WEIGHTS * _towards_one_slope((POINTS + 1) / 2)
            total += (np.exp(n * np.log1p(-hit)) * weights).sum(axis=-1)
        return total


@dataclass(frozen=True, kw_only=True)
class OutOfReach:
    """The sum of all of n numbers U[-1, 1] with the sign of w is below |w| - epsilon: no subset can do.

    k numbers have that sign with probability C(n, k) / 2^n, and stay below x <= 1 with probability x^k / k!. Averaged
    over w: 2^-n sum_k C(n, k) (1 - epsilon)^(k + 1) / (k + 1)!, which falls as 2^-n exp(2 sqrt(n)) up to powers of n.
    """

    label: str

    def failure(self, n: Any, epsilon: float) -> np.ndarray:
        n = np.asarray(n, float)
        terms = [comb(n, k) * (1 - epsilon) ** (k + 1) / math.factorial(k + 1) for k in range(TERMS)]
        return np.sum(terms, axis=0) / 2.0**n


def smallest_n(form: ClosedForm, epsilon: float, share: float) -> int:
    """The smallest n at which the formula's share of failures is at most 1 - share."""
    low, high = 0, 1
    while form.failure(high, epsilon) > 1 - share:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if form.failure(middle, epsilon) <= 1 - share else (middle, high)
    return high


def _primitive(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x * (1 - np.log(np.maximum(x, 1e-300))) / 2, 0.0)


def _towards_one(t: np.ndarray) -> np.ndarray:
    """Maps [0, 1] onto itself so that points crowd near 1 as tightly as a share of 10^-12 needs."""
    return np.expm1(-28 * t) / math.expm1(-28)


def _towards_one_slope(t: np.ndarray) -> np.ndarray:
    return -28 * np.exp(-28 * t) / math.expm1(-28)
