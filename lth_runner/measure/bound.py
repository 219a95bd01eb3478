"""How far a pruned network's output can be from its target's, at most: from the weights alone, up to rounding."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.activations import Activation, activation_of
from lth_runner.networks.interface import Architecture, Deviation
from lth_runner.networks.layers import WeightLayer, sequence, weight_layers

Weights = Mapping[str, np.ndarray]
ROUNDING = 1 + 1e-9  # singular values are computed in float64


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What is known of the signals g of the pruned network and h of the target at one place, for all inputs together.

    Attributes:
        distance: at least ||g - h||.
        size: at least ||g||.
        largest: at least every |g_i|.
    """

    distance: float
    size: float
    largest: float


def output_bound(
    effective: Weights,
    target: Weights,
    network: Architecture,
    image: tuple[int, ...],
    radius: float,
    *,
    largest: float = math.inf,
    deviations: Mapping[str, Deviation] | None = None,
) -> float:
    """sup of ||g(x) - f(x)|| over ||x|| <= radius, |x_j| <= largest, in Euclidean norms, is at most what is returned.

    Layer i of the target f maps h to W_i h + b_i, that of the pruned network g to W+_i h+ - W-_i h- + b~_i + d_i(h),
    where h+ = relu(h) and h- = relu(-h): one reading of the weights for each sign, and deviations |d(h)_o| <= sum_j
    D_oj |h_j|^p + c_o of neurons that are not quite linear. With E+ = W+ - W, E- = W- - W and e = b~ - b,

        W+ g+ - W- g- + b~ - (W h + b) = W (g - h) + E+ g+ - E- g- + e,

    and ||(g+, g-)|| = ||g||. An activation phi stretches distances at most by its Lipschitz constant L, and sizes to L
    ||g|| + |phi(0)| sqrt(entries) or sup |phi| sqrt(entries); max-pooling over disjoint windows increases neither. So
    for ReLU, whose L is 1,

        ||g_l - f_l|| <= sum_i (prod_{j>i} ||W_j||) (||[E+_i, E-_i]|| G_{i-1} + ||e_i|| + d_i),
        G_0 = radius,  G_i = ||[W+_i, W-_i]|| G_{i-1} + ||b~_i|| + d_i,  d_i = ||D_i|| m_{i-1}^(p-1) G_{i-1} + ||c_i||,

    with spectral norms, and m the largest entry. Where inputs are never negative there is one reading, and E- and W-
    are left out. For a convolution with kernel K of T taps the norm is bounded by the smaller of sum_t ||K_t|| (each
    tap is a shift and a matrix) and sqrt(T) ||(K_1, ..., K_T)|| (each pixel is seen at most T times); its bias counts
    once per pixel.

    Args:
        effective: what stands for each target weight, with an axis of readings or without.
        image: shape of one input.
        radius: largest Euclidean norm of the inputs, all of them without negative entries if the first layer has one
            reading for inputs that have none.
        deviations: by the names of layers; None for none.

    Raises:
        ConfigError: a layer for which none of this holds.
    """
    parts, layers = list(_parts(network, image)), {layer.name: layer for layer in weight_layers(network)}
    if strange := [layer.name for layer in layers.values() if not _is_bounded(layer)]:
        raise ConfigError(
            f"no bound is known for layer {strange[0]}, a grouped convolution or one padded beyond its kernel, or "
            "padded with anything but zeros"
        )
    weighted = [part for part in parts if isinstance(part.part, torch.nn.Linear | torch.nn.Conv2d)]
    names = [name for layer in layers.values() for name in (layer.weight, layer.bias) if name]
    if len(names) > len(set(names)) or len(layers) < len(weighted):
        raise ConfigError("no bound is known for layers that share weights, or whose weights are no plain parameters")
    extent = Extent(distance=0.0, size=radius, largest=min(largest, radius))
    for part in parts:
        if part.activation is not None:
            extent = _activated(extent, part)
        elif part.name in layers:
            extra = (deviations or {}).get(part.name)
            extent = _weighed(extent, layers[part.name], part.places, effective, target, extra)
    return extent.distance


def _weighed(
    extent: Extent, layer: WeightLayer, places: int, effective: Weights, target: Weights, extra: Deviation | None
) -> Extent:
    """Behind a layer of weights."""
    exact, per_pixel = target[layer.weight], math.sqrt(places)
    weight = _readings(effective.get(layer.weight, exact), exact)
    if len(weight) > 2:
        raise ConfigError("a network with copies of its neurons has no bound from one error per weight")
    error, bias = norm_bound(weight - exact, layer) * extent.size, 0.0
    if layer.bias:
        found = _readings(effective.get(layer.bias, target[layer.bias]), target[layer.bias])[0]
        error += per_pixel * float(np.linalg.norm(found - target[layer.bias]))
        bias = per_pixel * float(np.linalg.norm(found))
    curved = 0.0 if extra is None else _deviation(extent, layer, per_pixel, extra)
    size = norm_bound(weight, layer) * extent.size + bias + curved
    return Extent(
        distance=norm_bound(exact[None], layer) * extent.distance + error + curved,
        size=size,
        largest=size,
    )


def _deviation(extent: Extent, layer: WeightLayer, per_pixel: float, extra: Deviation) -> float:
    """At least the norm of what neurons add that are not quite linear: || |g|^p || <= (largest entry)^(p-1) ||g||."""
    powers = extent.largest ** (extra.order - 1) * extent.size
    bias = 0.0 if extra.bias is None else per_pixel * float(np.linalg.norm(extra.bias))
    return norm_bound(extra.weight[None], layer) * powers + bias


def _activated(extent: Extent, part: "Part") -> Extent:
    """Behind an activation function."""
    assert part.activation is not None, "the caller looks"
    known, entries = part.activation.behaviour(), math.sqrt(part.entries)
    return Extent(
        distance=known.lipschitz * extent.distance,
        size=min(known.lipschitz * extent.size + abs(known.at_zero) * entries, known.largest * entries),
        largest=min(known.lipschitz * extent.largest + abs(known.at_zero), known.largest),
    )


def copies_bound(layers: Sequence[np.ndarray], target: Sequence[np.ndarray]) -> Callable[[float], float]:
    """The same of a network with copies of its hidden neurons, fully connected, without biases.

    With M_l the matrices of the pruned network, W_l those of the target, h_l = relu(W_l h_{l-1}), P the matrix that
    copies h_l, and ReLU between all layers,

        M_l g_{l-1} - P W_l h_{l-1} = M_l (g_{l-1} - P h_{l-1}) + (M_l P - P W_l) h_{l-1},

    where M_l P are sums over the copies of an input, so that ||g_l - P h_l|| <= ||M_l|| ||g_{l-1} - P h_{l-1}|| +
    ||M_l P - P W_l|| prod_{j<l} ||W_j|| radius, with spectral norms.

    Args:
        layers: (copies behind * outputs, copies before * inputs) each, copy by copy; inputs and outputs of the network
            have one copy.

    Returns:
        the bound, for the largest Euclidean norm of the inputs.
    """
    norms = []
    for pruned, exact in zip(layers, target, strict=True):
        behind, inputs = len(pruned) // len(exact), exact.shape[1]
        summed = pruned.reshape(len(pruned), -1, inputs).sum(axis=1)
        error = summed - np.tile(exact, (behind, 1))
        norms.append((spectral_norm(error), spectral_norm(pruned), spectral_norm(exact)))

    def bound(radius: float) -> float:
        distance, size = 0.0, radius
        for error, pruned, exact in norms:
            distance, size = error * size + pruned * distance, size * exact
        return distance

    return bound


def spectral_norm(matrix: np.ndarray) -> float:
    """At least the largest singular value, and above it by rounding alone; fast where one side is short."""
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return ROUNDING * math.sqrt(max(float(np.linalg.eigvalsh(gram)[-1]), 0.0))


def _is_bounded(layer: WeightLayer) -> bool:
    zeros = isinstance(layer.part, torch.nn.Linear) or layer.part.padding_mode == "zeros"
    return zeros and layer.groups == 1 and (layer.bias is None or layer.takes_constant)


def _readings(found: np.ndarray, target: np.ndarray) -> np.ndarray:
    return found if found.ndim > target.ndim else found[None]


def norm_bound(readings: np.ndarray, layer: WeightLayer) -> float:
    """Upper bound on the norm of the layer that takes the inputs of all readings side by side.

    Args:
        readings: (readings, outputs, inputs, *kernel).
    """
    matrices = np.concatenate(list(readings), axis=1)  # (out, readings * in, *kernel)
    taps = matrices.reshape(*matrices.shape[:2], -1)
    together = math.sqrt(taps.shape[2]) * np.linalg.norm(taps.reshape(len(taps), -1), 2)
    if not layer.kernel:
        return ROUNDING * float(together)
    each = sum(np.linalg.norm(taps[:, :, t], 2) for t in range(taps.shape[2]))
    return ROUNDING * float(min(together, each))


@dataclass(frozen=True, kw_only=True)
class Part:
    """One step of a plain sequence.

    Attributes:
        places: of its output that a bias is added to.
        entries: of its output.
        activation: that it is; None for all else.
    """

    name: str
    part: torch.nn.Module
    places: int
    entries: int
    activation: Activation | None


def _parts(network: Architecture, image: tuple[int, ...]) -> Iterator[Part]:
    """The steps in turn.

    Raises:
        ConfigError: one of them may increase distances, nobody knows by how much.
    """
    x = torch.empty(1, *image, device="meta")
    for name, part in sequence(network).items():
        x, activation = part(x), activation_of(part)
        weighs = isinstance(part, torch.nn.Linear | torch.nn.Conv2d)
        if not weighs and activation is None and not isinstance(part, torch.nn.Flatten) and not _disjoint(part):
            raise ConfigError(f"no bound is known for layer {name}, {type(part).__name__}")
        yield Part(name=name, part=part, places=math.prod(x.shape[2:]), entries=x.numel(), activation=activation)


def _disjoint(part: torch.nn.Module) -> bool:
    """Whether it is a max-pooling whose windows do not overlap."""
    if not isinstance(part, torch.nn.MaxPool2d):
        return False
    sides = [(side, side) if isinstance(side, int) else tuple(side) for side in (part.kernel_size, part.stride)]
    plain = part.padding in (0, (0, 0)) and part.dilation in (1, (1, 1))
    return plain and all(size <= step for size, step in zip(*sides, strict=True))
