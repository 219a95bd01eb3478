"""The paths of an expanded layer: which target numbers are sought, and which hidden neurons may be used for each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.activations import Activation, Behaviour
from lth_runner.networks.layers import WeightLayer
from lth_runner.networks.two_layer_expansion import has_constant

LEVELS = (np.arange(4096) + 0.5) / 4096  # where a distribution is looked at for its means


@dataclass(frozen=True, kw_only=True)
class Batch:
    """P target numbers of every output that may use equally many neurons: the shape of one batch of instances.

    Attributes:
        coordinate, tap: (P,) where in the layer.
        neurons: (P, m) of that coordinate.
    """

    coordinate: np.ndarray
    tap: np.ndarray
    neurons: np.ndarray


@dataclass(frozen=True, kw_only=True)
class LayerTargets:
    """The numbers that one target layer asks for.

    Attributes:
        weight: (outputs, coordinates that an output sees, taps); a bias that a constant stands for is the last
            coordinate, at the kernel's middle tap.
        coordinate, tap: (P,) the places that ask for anything; the others of the bias' coordinate stay pruned.
    """

    weight: np.ndarray
    coordinate: np.ndarray
    tap: np.ndarray

    @classmethod
    def of(cls, layer: WeightLayer, target: Mapping[str, np.ndarray]) -> Self:
        """Those of one layer of the target."""
        inputs = layer.inputs // layer.groups
        weight = target[layer.weight].reshape(layer.outputs, inputs, -1)
        coordinate, tap = (index.ravel() for index in np.indices(weight.shape[1:]))
        if layer.bias is not None and has_constant(layer):
            center = int(np.ravel_multi_index(layer.center, layer.kernel)) if layer.kernel else 0
            constant = np.zeros((layer.outputs, 1, weight.shape[2]))
            constant[:, 0, center] = target[layer.bias]
            weight = np.concatenate((weight, constant), axis=1)
            coordinate, tap = np.append(coordinate, inputs), np.append(tap, center)
        return cls(weight=weight, coordinate=coordinate, tap=tap)

    @property
    def largest(self) -> float:
        """Of the absolute values."""
        return float(np.abs(self.weight).max())

    @property
    def size(self) -> float:
        """Root of the mean square of what is asked for."""
        return float(np.sqrt(np.mean(self.weight[:, self.coordinate, self.tap] ** 2)))

    def batches(self, usable: np.ndarray) -> Iterator[Batch]:
        """The places by how many neurons they may use; those that may use none stay without a path.

        Args:
            usable: (coordinates, width) bool.
        """
        count = usable.sum(axis=1)
        usable_first = np.argsort(~usable, axis=1, kind="stable")
        for m in np.unique(count[count > 0]):
            place = count[self.coordinate] == m
            coordinate = self.coordinate[place]
            yield Batch(coordinate=coordinate, tap=self.tap[place], neurons=usable_first[coordinate, :m])


def usable_neurons(first: np.ndarray, twin: bool, signs: str, max_paths: int, constant: bool) -> list[np.ndarray]:
    """Which neurons can be used for positive and, with a twin, for negative inputs: (coordinates, width) bool each.

    Args:
        first: (coordinates, width) of `first_factors`.
        signs: "reserved" or "as_drawn"; without a twin every neuron that has a factor is there for all inputs.
        max_paths: neurons of a coordinate beyond these are not used.
        constant: whether the last coordinate is the constant 1, which is never negative.
    """
    if not twin:
        return [_at_most(first != 0, max_paths)]
    positive, negative = first > 0, first < 0
    if constant:
        positive[-1], negative[-1] = first[-1] != 0, False
    if signs == "reserved":
        middle = first.shape[1] // 2
        positive[:, middle:] = False
        negative[:, :middle] = False
    return [_at_most(usable, max_paths) for usable in (positive, negative)]


def _at_most(usable: np.ndarray, max_paths: int) -> np.ndarray:
    return usable & (usable.cumsum(axis=1) <= max_paths)


def first_factors(first: np.ndarray, behaviour: Behaviour, twin: bool, constant: bool) -> np.ndarray:
    """What each neuron's input counts times, for those who choose among second weights b: (coordinates, width).

    Near zero, phi(z) - phi(0) = m z with m = m+ for z > 0 and m- for z < 0. A path through a first weight a gives an
    input x > 0 the factor b a m(a), and x < 0 the factor b a m(-a).

    - Where all x > 0, or m+ = m-, this is one factor, and one sum of b (a m(a)) ~ w is sought, over the neurons on the
      steeper side of zero: all of them where m+ = m-, whatever the sign of a.
    - Else let P be the sum of b a over the kept a > 0, N that over a < 0. The network gives m+ P + m- N for x > 0 and
      m- P + m+ N for x < 0, and both are w if and only if P = N = w / (m+ + m-), as m+ and m- differ: two sums of
      b (a (m+ + m-)) ~ w are sought ("twin"). Of a ReLU, m+ = 1 and m- = 0, and one sum serves one sign of x.

    Args:
        first: weights a.
        constant: whether the last coordinate is the constant 1: then all x > 0 in it.
    """
    slopes = np.where(first > 0, behaviour.positive, behaviour.negative)
    steepest = max(abs(behaviour.positive), abs(behaviour.negative))
    one_sided = first * np.where(np.abs(slopes) == steepest, slopes, 0.0)
    if not twin:
        return one_sided
    factors = first * (behaviour.positive + behaviour.negative)
    if constant:
        factors[-1] = one_sided[-1]
    return factors


def unit_gain(behaviour: Behaviour, twin: bool, scale: float) -> float:
    """The gain that undoes the size of the slopes and the scale of the first weights: 1 for a ReLU of scale 1.

    With it products of sums are in the size of b a, whatever the function.
    """
    slopes = behaviour.positive, behaviour.negative
    return 1 / (scale * (abs(sum(slopes)) if twin else max(map(abs, slopes))))


def check_activation(activation: Activation, scale: float) -> None:
    """Refuses functions near whose zero no sums of neurons are linear in inputs of both signs."""
    checks.positive("scale", scale)
    known = activation.behaviour()
    if known.positive + known.negative == 0:
        name = type(activation).__name__
        raise ConfigError(
            f"activation {name} has slopes {known.negative:g} and {known.positive:g} around zero, whose sum is 0, "
            "so that no sum of its neurons is linear there: choose another one, such as relu or tanh"
        )


def reach(
    split: Distribution, total: Distribution, neurons: int, max_paths: int, twin: bool, behaviour: Behaviour
) -> float:
    """Half of the sum that all products of one sign are expected to have: what subsets of them reach as a rule.

    Raises:
        ConfigError: one of the signs is never drawn.
    """
    return 0.5 * products(split, total, neurons, max_paths, twin, behaviour)[1]


def products(
    split: Distribution, total: Distribution, neurons: int, max_paths: int, twin: bool, behaviour: Behaviour
) -> tuple[float, float]:
    """Of sums of products: their standard deviation over random subsets, and the sum of all products of one sign.

    Of `neurons` independent pairs about m = neurons * P(a > 0) can be used for positive inputs, at most `max_paths` of
    them are used, and m * E[a | a > 0] * E[b+] is the expected sum of those that are positive; the least of the signs
    in use counts. The variance is m E[a^2 | a > 0] E[b^2] / 4. Where neurons are used whatever the sign of a, a stands
    for its product with the slope, over the larger slope, and both of its signs count.

    Raises:
        ConfigError: one of the signs is never drawn.
    """
    a, b = split.quantile(LEVELS), total.quantile(LEVELS)
    one_sided = first_factors(a[None], behaviour, False, False)[0] * unit_gain(behaviour, False, 1.0)
    sums, variances = [], []
    for first in (np.maximum(a, 0), np.maximum(-a, 0)) if twin else (one_sided,):
        share = float((first != 0).mean())
        paths = min(neurons * share, max_paths)
        used = first[first != 0] if share else np.zeros(1)
        up, down = (float(np.maximum(signed, 0).mean()) for signed in (used, -used))
        more, less = (float(np.maximum(second, 0).mean()) for second in (b, -b))
        sums += [paths * (up * more + down * less), paths * (up * less + down * more)]
        variances.append(paths * float((used**2).mean()) * float((b**2).mean()) / 4)
    if min(sums) == 0:
        raise ConfigError(f"{total} draws weights of one sign only, so that targets of the other are out of reach")
    return math.sqrt(min(variances)), min(sums)
