"""How far a pruned network's output can be from its target's, at most: from the weights alone, up to rounding."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import Architecture
from lth_runner.networks.layers import WeightLayer, sequence, weight_layers

Weights = Mapping[str, np.ndarray]
ROUNDING = 1 + 1e-9  # singular values are computed in float64


def output_bound(
    effective: Weights, target: Weights, network: Architecture, image: tuple[int, ...], radius: float
) -> float:
    """sup over ||x|| <= radius of ||g(x) - f(x)||, in Euclidean norms, is at most the number returned.

    Layer i of the target f maps h to W_i h + b_i, that of the pruned network g to W+_i h+ - W-_i h- + b~_i, where h+ =
    relu(h) and h- = relu(-h): one reading of the weights for each sign. With E+ = W+ - W, E- = W- - W and e = b~ - b,

        W+ g+ - W- g- + b~ - (W h + b) = W (g - h) + E+ g+ - E- g- + e,

    and ||(g+, g-)|| = ||g||. ReLU and max-pooling over disjoint windows do not increase distances or norms. So

        ||g_l - f_l|| <= sum_i (prod_{j>i} ||W_j||) (||[E+_i, E-_i]|| G_{i-1} + ||e_i||),
        G_0 = radius,  G_i = ||[W+_i, W-_i]|| G_{i-1} + ||b~_i||,

    with spectral norms. Where inputs are never negative there is one reading, and E- and W- are left out. For a
    convolution with kernel K of T taps the norm is bounded by the smaller of sum_t ||K_t|| (each tap is a shift and a
    matrix) and sqrt(T) ||(K_1, ..., K_T)|| (each pixel is seen at most T times); its bias counts once per pixel.

    Args:
        effective: what stands for each target weight, with an axis of readings or without.
        image: shape of one input.
        radius: largest Euclidean norm of the inputs, all of them without negative entries if the first layer has one
            reading.

    Raises:
        ConfigError: a layer for which none of this holds.
    """
    pixels, layers = _pixels(network, image), weight_layers(network)
    if strange := [layer.name for layer in layers if not _is_bounded(layer)]:
        raise ConfigError(
            f"no bound is known for layer {strange[0]}, a grouped convolution or one padded beyond its kernel, or "
            "padded with anything but zeros"
        )
    names = [name for layer in layers for name in (layer.weight, layer.bias) if name]
    if len(names) > len(set(names)) or len(layers) < len(pixels):
        raise ConfigError("no bound is known for layers that share weights, or whose weights are no plain parameters")
    distance, size = 0.0, radius
    for layer in layers:
        exact = target[layer.weight]
        weight = _readings(effective.get(layer.weight, exact), exact)
        if len(weight) > 2:
            raise ConfigError("a network with copies of its neurons has no bound from one error per weight")
        error, bias = norm_bound(weight - exact, layer) * size, 0.0
        if layer.bias:
            per_pixel = math.sqrt(pixels[layer.name])
            found = _readings(effective.get(layer.bias, target[layer.bias]), target[layer.bias])[0]
            error += per_pixel * float(np.linalg.norm(found - target[layer.bias]))
            bias = per_pixel * float(np.linalg.norm(found))
        distance = norm_bound(exact[None], layer) * distance + error
        size = norm_bound(weight, layer) * size + bias
    return distance


def copies_bound(layers: Sequence[np.ndarray], target: Sequence[np.ndarray], radius: float) -> float:
    """The same of a network with copies of its hidden neurons, fully connected, without biases.

    With M_l the matrices of the pruned network, W_l those of the target, h_l = relu(W_l h_{l-1}), P the matrix that
    copies h_l, and ReLU between all layers,

        M_l g_{l-1} - P W_l h_{l-1} = M_l (g_{l-1} - P h_{l-1}) + (M_l P - P W_l) h_{l-1},

    where M_l P are sums over the copies of an input, so that ||g_l - P h_l|| <= ||M_l|| ||g_{l-1} - P h_{l-1}|| +
    ||M_l P - P W_l|| prod_{j<l} ||W_j|| radius, with spectral norms.

    Args:
        layers: (copies behind * outputs, copies before * inputs) each, copy by copy; inputs and outputs of the network
            have one copy.
        radius: largest Euclidean norm of the inputs.
    """
    distance, size = 0.0, radius
    for pruned, exact in zip(layers, target, strict=True):
        behind, inputs = len(pruned) // len(exact), exact.shape[1]
        summed = pruned.reshape(len(pruned), -1, inputs).sum(axis=1)
        distance = spectral_norm(summed - np.tile(exact, (behind, 1))) * size + spectral_norm(pruned) * distance
        size *= spectral_norm(exact)
    return distance


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


def _pixels(network: Architecture, image: tuple[int, ...]) -> dict[str, int]:
    """How many places of its output each layer's bias is added to.

    Raises:
        ConfigError: a layer between them may increase distances.
    """
    found: dict[str, int] = {}
    x = torch.empty(1, *image, device="meta")
    for name, part in sequence(network).items():
        x = part(x)
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d):
            found[name] = math.prod(x.shape[2:])
        elif not isinstance(part, torch.nn.ReLU | torch.nn.Flatten) and not _disjoint(part):
            raise ConfigError(f"no bound is known for layer {name}, {type(part).__name__}")
    return found


def _disjoint(part: torch.nn.Module) -> bool:
    """Whether it is a max-pooling whose windows do not overlap."""
    if not isinstance(part, torch.nn.MaxPool2d):
        return False
    sides = [(side, side) if isinstance(side, int) else tuple(side) for side in (part.kernel_size, part.stride)]
    plain = part.padding in (0, (0, 0)) and part.dilation in (1, (1, 1))
    return plain and all(size <= step for size, step in zip(*sides, strict=True))
