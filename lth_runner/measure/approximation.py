"""How far a ticket's network is from its target: weight by weight, and output by output."""

from collections.abc import Mapping

import numpy as np
import torch

from lth_runner.data.interface import Inputs, moved, split
from lth_runner.networks.interface import Deviation

Weights = Mapping[str, np.ndarray]


def weight_errors(weights: Weights, target: Weights, epsilon: float) -> dict[str, float]:
    """Absolute errors of the weights that `weights` names, over all layers together, in float64.

    Means are heavy-tailed (a target out of reach can be off by any amount), so quantiles are given instead. Of a weight
    with several readings (see `Expansion`) the worst counts.

    Returns:
        weight_error_max, _median, _p90, _p99, _p999, and over_epsilon: how many are above `epsilon`.
    """
    error = np.empty(sum(target[name].size for name in weights))
    start = 0
    for name in weights:
        stop = start + target[name].size
        error[start:stop] = _worst(weights[name] - target[name], target[name].shape).ravel()
        start = stop
    p50, p90, p99, p999 = np.quantile(error, [0.5, 0.9, 0.99, 0.999], overwrite_input=True)  # without a copy
    return {
        "weight_error_max": float(error.max()),
        "weight_error_median": float(p50),
        "weight_error_p90": float(p90),
        "weight_error_p99": float(p99),
        "weight_error_p999": float(p999),
        "over_epsilon": int(np.count_nonzero(error > epsilon)),
    }


def curvature_error(deviations: Mapping[str, Deviation]) -> dict[str, float]:
    """How far, at an input of 1, what stands for a weight or a bias may be from its reading, at most.

    Readings are slopes at zero: neurons that are linear only there add this, and at an input x at most |x|^order times
    as much. Nothing where all neurons are linear on either side of zero.

    Returns:
        curvature_error_max, over all weights and biases.
    """
    parts = [part for each in deviations.values() for part in (each.weight, each.bias) if part is not None]
    return {"curvature_error_max": max(float(part.max()) for part in parts)} if parts else {}


def relative_error(weights: Weights, target: Weights) -> float:
    """Root of the squared errors of the weights that `weights` names over their squares: of normal weights of variance
    1, that of the mean squared error. Of a weight with several readings their mean counts.
    """
    squares = [
        (float(np.mean((weights[name] - target[name]) ** 2)), float(np.mean(target[name] ** 2))) for name in weights
    ]
    sizes = np.array([target[name].size for name in weights], float)
    error, size = sizes @ np.array(squares).reshape(-1, 2)
    return float(np.sqrt(error / size)) if size else 0.0


@torch.inference_mode()
def output_difference(pruned: torch.nn.Module, target: torch.nn.Module, images: Inputs, batch: int) -> float:
    """Largest |difference| of any output (logit) over the images; in the precision of the two modules."""
    dtype = next(pruned.parameters()).dtype
    largest = 0.0
    for block in split(images, batch):
        block = moved(block, dtype)
        largest = max(largest, float((pruned(block) - target(block)).abs().max()))
    return largest


def _worst(difference: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """|difference| in the target's shape: the largest of its readings where it has an axis of those."""
    error = np.abs(difference)
    return error if error.shape == shape else error.max(axis=0)
