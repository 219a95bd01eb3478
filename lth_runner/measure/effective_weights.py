"""What a pruned network multiplies each input of a layer with, by whatever paths, and how near that is to another.

Masks that share no weight may compute the same: these numbers tell whether they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.ticket.materialise import array
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """Of one network's effective weights to those of one that is given, each layer scaled to the size of the given one.

    ReLU networks without biases are the same up to a positive factor for each layer, so sizes are no difference.

    Attributes:
        correlation: Pearson's, in [-1, 1]; None where the weights of one of them are all alike.
        difference: |other - given| / |given|, Euclidean norms: 0 if equal, sqrt(2) if orthogonal; None where all that
            is given is 0.
    """

    correlation: float | None
    difference: float | None


def effective_weights(ticket: Ticket, expansion: TwoLayerExpansion) -> dict[str, np.ndarray]:
    """By layer: gain * V (phi(U e_j) - phi(0)), the layer's output where input j alone is 1; for negative ones with -1.

    Where every hidden neuron keeps one edge, as in constructed tickets, and is a ReLU, these are the layer's weights
    (`readings`), and its output is linear in inputs of one sign. Where neurons keep several edges it is not, and they
    say only what one input at a time does.

    Returns:
        (signs of the input in use, outputs, coordinates, *kernel) each, float64.
    """
    phi, at_zero = expansion.activation.module(), expansion.activation.behaviour().at_zero

    def centred(z: np.ndarray) -> np.ndarray:
        return phi(torch.from_numpy(z)).numpy() - at_zero

    found = {}
    for layer in expansion.layers:
        split, total = (array(ticket, f"{layer.name}.{which}.weight") for which in ("split", "sum"))
        signs = (1.0, -1.0) if layer.weight in expansion.twins else (1.0,)
        weights = [_through(sign * centred(sign * split), total, layer.groups) for sign in signs]
        found[layer.name] = expansion.gains[layer.weight] * np.stack(weights)
    return found


def nearness(given: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> Nearness:
    """That of all layers together."""
    first = np.concatenate([weights.ravel() for weights in given.values()])
    second = np.concatenate([_scaled(other[name], weights).ravel() for name, weights in given.items()])
    size, apart = float(np.linalg.norm(first)), float(np.linalg.norm(second - first))
    a, b = first - first.mean(), second - second.mean()
    sizes = float(np.linalg.norm(a) * np.linalg.norm(b))
    return Nearness(
        correlation=float(a @ b) / sizes if sizes else None,
        difference=apart / size if size else None,
    )


def _through(split: np.ndarray, total: np.ndarray, groups: int) -> np.ndarray:
    """(outputs, coordinates, *kernel): second weights times first, summed over the hidden neurons.

    Args:
        split: (hidden, coordinates, *ones); total: (outputs, hidden of a group, *kernel).
    """
    first = np.split(split.reshape(split.shape[:2]), groups)
    second = np.split(total, groups)
    parts = [
        np.tensordot(v, u, axes=(1, 0)) for v, u in zip(second, first, strict=True)
    ]  # (rows, *kernel, coordinates)
    return np.moveaxis(np.concatenate(parts), -1, 1)


def _scaled(weights: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The weights with the norm of those given, unless they are all 0."""
    size = float(np.linalg.norm(weights))
    return weights * (float(np.linalg.norm(given)) / size) if size else weights
