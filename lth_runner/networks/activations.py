"""Activation functions, and what constructions and bounds know of each: slopes and curvature at zero, and growth."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from lth_runner.core import checks

NORMAL = 1 / math.sqrt(2 * math.pi)  # density of N(0, 1) at 0


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Of a function phi that has a slope on either side of zero.

    |phi(z) - phi(0) - m z| <= curvature |z|^order for all z, where m is `positive` for z > 0, else `negative`: of a
    smooth function curvature is sup |phi''| / 2 with order 2, or sup |phi'''| / 6 with order 3 where phi''(0) = 0.

    Attributes:
        negative, positive: slopes at zero, of negative and of positive z.
        at_zero: phi(0).
        curvature: 0 for functions that are linear on either side of zero.
        order: 2 or 3.
        lipschitz: sup |phi'|.
        largest: sup |phi|, perhaps infinite.
    """

    negative: float
    positive: float
    at_zero: float
    curvature: float
    order: int
    lipschitz: float
    largest: float

    @property
    def has_kink(self) -> bool:
        """Whether inputs of the two signs meet different slopes."""
        return self.negative != self.positive


@runtime_checkable
class Activation(Protocol):
    """An activation function. Implementations are frozen keyword-only dataclasses."""

    def module(self) -> nn.Module:
        """The function, entry by entry, without parameters."""
        ...

    def behaviour(self) -> Behaviour:
        """What is known of it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Relu:
    """max(z, 0)."""

    kind: ClassVar[str] = "relu"

    def module(self) -> nn.Module:
        return nn.ReLU()

    def behaviour(self) -> Behaviour:
        return _piecewise_linear(0.0)


RELU = Relu()


@dataclass(frozen=True, kw_only=True)
class LeakyRelu:
    """z for z > 0, else slope * z.

    Attributes:
        slope: 0 makes it a ReLU, 1 the identity.
    """

    kind: ClassVar[str] = "leaky_relu"
    slope: float

    def __post_init__(self) -> None:
        checks.not_negative("activation.slope", self.slope)

    def module(self) -> nn.Module:
        return nn.LeakyReLU(self.slope)

    def behaviour(self) -> Behaviour:
        return _piecewise_linear(self.slope)


@dataclass(frozen=True, kw_only=True)
class Tanh:
    """Odd; |tanh'''| is largest at zero, where it is 2."""

    kind: ClassVar[str] = "tanh"

    def module(self) -> nn.Module:
        return nn.Tanh()

    def behaviour(self) -> Behaviour:
        return _smooth(slope=1.0, at_zero=0.0, curvature=1 / 3, order=3, lipschitz=1.0, largest=1.0)


@dataclass(frozen=True, kw_only=True)
class Sigmoid:
    """1 / (1 + exp(-z)), odd around 1 / 2; its third derivative is largest at zero, -1 / 8."""

    kind: ClassVar[str] = "sigmoid"

    def module(self) -> nn.Module:
        return nn.Sigmoid()

    def behaviour(self) -> Behaviour:
        return _smooth(slope=0.25, at_zero=0.5, curvature=1 / 48, order=3, lipschitz=0.25, largest=1.0)


@dataclass(frozen=True, kw_only=True)
class Gelu:
    """z Phi(z), Phi the normal distribution; |second derivative| is largest at zero, 2 NORMAL, the first at sqrt(2)."""

    kind: ClassVar[str] = "gelu"

    def module(self) -> nn.Module:
        return nn.GELU()

    def behaviour(self) -> Behaviour:
        steepest = (1 + math.erf(1)) / 2 + math.sqrt(2) * NORMAL * math.exp(-1)
        return _smooth(slope=0.5, at_zero=0.0, curvature=NORMAL, order=2, lipschitz=steepest, largest=math.inf)


@dataclass(frozen=True, kw_only=True)
class Silu:
    """z sigmoid(z); its second derivative is largest at zero, 1 / 2, its first, 1.09984, at 2.3994."""

    kind: ClassVar[str] = "silu"

    def module(self) -> nn.Module:
        return nn.SiLU()

    def behaviour(self) -> Behaviour:
        return _smooth(slope=0.5, at_zero=0.0, curvature=1 / 4, order=2, lipschitz=1.09984, largest=math.inf)


class PiecewiseLinear(nn.Module):
    """What a function is near zero: phi(0), and a slope on either side."""

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__()
        self.behaviour = behaviour

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        known = self.behaviour
        return known.at_zero + torch.where(z > 0, known.positive * z, known.negative * z)


def activation_of(part: nn.Module) -> Activation | None:
    """The activation function that a torch layer is; None for all that is not known here."""
    known = KNOWN.get(type(part))
    return None if known is None else known(part)


def _gelu(part: Any) -> Activation | None:
    return Gelu() if part.approximate == "none" else None


def _leaky(part: Any) -> Activation | None:
    return LeakyRelu(slope=part.negative_slope) if part.negative_slope >= 0 else None


KNOWN: dict[type, Callable[[Any], Activation | None]] = {
    nn.ReLU: lambda part: RELU,
    nn.LeakyReLU: _leaky,
    nn.Tanh: lambda part: Tanh(),
    nn.Sigmoid: lambda part: Sigmoid(),
    nn.GELU: _gelu,
    nn.SiLU: lambda part: Silu(),
}


def _piecewise_linear(slope: float) -> Behaviour:
    return Behaviour(
        negative=slope,
        positive=1.0,
        at_zero=0.0,
        curvature=0.0,
        order=2,
        lipschitz=max(1.0, slope),
        largest=math.inf,
    )


def _smooth(
    *, slope: float, at_zero: float, curvature: float, order: int, lipschitz: float, largest: float
) -> Behaviour:
    return Behaviour(
        negative=slope,
        positive=slope,
        at_zero=at_zero,
        curvature=curvature,
        order=order,
        lipschitz=lipschitz,
        largest=largest,
    )
