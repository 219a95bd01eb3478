"""The first weights and the first scores of a network, as recipes that a ticket can keep."""

import math
from collections.abc import Iterable, Mapping

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.interface import Distribution, JointDistribution
from lth_runner.networks.interface import Architecture, parameter_shapes, skeleton
from lth_runner.networks.redundant import RedundantLinear
from lth_runner.ticket.source import Drawn


def fans(network: Architecture) -> dict[str, int]:
    """Inputs that a weight's law is scaled by: those of one output, but weight2 of a redundant layer ignores copies.

    As in the published code: a unit of a redundant layer's first half has one input, and its second half counts the
    inputs of the layer it stands for. A parameter of one axis, as a bias, has the fan of its layer's weight.
    """
    found = {name: math.prod(shape[1:]) for name, shape in parameter_shapes(network).items()}
    for name, layer in skeleton(network).named_modules():
        own = dict(layer.named_parameters(name, recurse=False))
        weights = [found[key] for key, value in own.items() if value.ndim >= 2 and key in found]
        found |= {key: weights[0] for key, value in own.items() if value.ndim < 2 and weights and key in found}
        if isinstance(layer, RedundantLinear):
            found |= {f"{name}.weight1": 1, f"{name}.weight2": layer.inputs}
    return found


def recipes(
    network: Architecture, law: Distribution, names: Iterable[str], purpose: str, numbers: int | None = None
) -> dict[str, Drawn]:
    """How the named weights, or their scores, are drawn.

    Args:
        purpose: first part of the streams' paths ("weights", "scores").
        numbers: for each entry, along one axis more; None: one, without such an axis.

    Raises:
        ConfigError: several numbers from a law of whole matrices.
    """
    if numbers is not None and isinstance(law, JointDistribution):
        raise ConfigError(
            f"{law!r} draws whole matrices, and this needs {numbers} numbers for each weight: take another"
        )
    shapes, inputs = parameter_shapes(network), fans(network)
    return {
        name: Drawn(
            shape=shapes[name] if numbers is None else (*shapes[name], numbers),
            distribution=law.fitted((shapes[name][0], inputs[name]), None),
            stream=(purpose, name),
        )
        for name in names
    }


def drawn(tensors: Mapping[str, Drawn], seed: int) -> dict[str, torch.Tensor]:
    """The random tensors themselves, float32."""
    return {name: torch.from_numpy(tensor.draw(seed)).float() for name, tensor in tensors.items()}
