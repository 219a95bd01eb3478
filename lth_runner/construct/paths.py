"""The paths of an expanded layer: which target numbers are sought, and which hidden neurons may be used for each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.interface import Distribution
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

    For x > 0, relu(a x) = a x if a > 0; for x < 0, relu(a x) = a x if a < 0; both are 0 otherwise. So a path of
    second weight b contributes b a x to inputs of one sign and nothing to the others, and for both signs the same sum
    of b a ~ w is sought: together they give w x for every x.

    Args:
        first: (coordinates, width) weights a.
        signs: "reserved" or "as_drawn"; without a twin every neuron is reserved for positive inputs.
        max_paths: neurons of a coordinate beyond these are not used.
        constant: whether the last coordinate is the constant 1, which is never negative.
    """
    positive, negative = first > 0, first < 0
    if twin and signs == "reserved":
        middle = first.shape[1] // 2
        positive[:, middle:] = False
        negative[:, :middle] = False
    if constant:
        negative[-1] = False
    return [usable & (usable.cumsum(axis=1) <= max_paths) for usable in ([positive, negative] if twin else [positive])]


def reach(split: Distribution, total: Distribution, neurons: int, max_paths: int, twin: bool) -> float:
    """Half of the sum that all products of one sign are expected to have: what subsets of them reach as a rule.

    Raises:
        ConfigError: one of the signs is never drawn.
    """
    return 0.5 * products(split, total, neurons, max_paths, twin)[1]


def products(split: Distribution, total: Distribution, neurons: int, max_paths: int, twin: bool) -> tuple[float, float]:
    """Of sums of products: their standard deviation over random subsets, and the sum of all products of one sign.

    Of `neurons` independent pairs about m = neurons * P(a > 0) can be used for positive inputs, at most `max_paths` of
    them are used, and m * E[a | a > 0] * E[b+] is the expected sum of those that are positive; the least of the signs
    in use counts. The variance is m E[a^2 | a > 0] E[b^2] / 4.

    Raises:
        ConfigError: one of the signs is never drawn.
    """
    a, b = split.quantile(LEVELS), total.quantile(LEVELS)
    sums, variances = [], []
    for first in (a, -a) if twin else (a,):
        share = float((first > 0).mean())
        paths = min(neurons * share, max_paths)
        mean = float(first[first > 0].mean()) if share else 0.0
        sums += [paths * mean * float(np.maximum(second, 0).mean()) for second in (b, -b)]
        variances.append(paths * float((first[first > 0] ** 2).mean()) * float((b**2).mean()) / 4 if share else 0.0)
    if min(sums) == 0:
        raise ConfigError(f"{total} draws weights of one sign only, so that targets of the other are out of reach")
    return math.sqrt(min(variances)), min(sums)
