"""How far hidden neurons of a pruned network are from those of its target, layer by layer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lth_runner.networks.interface import filled
from lth_runner.networks.layers import weight_layers
from lth_runner.ticket.materialise import Materialised, approximated_by, target_architecture

BATCH = 50


@torch.inference_mode()
def layer_differences(
    network: Materialised, target: Mapping[str, np.ndarray], images: torch.Tensor
) -> dict[str, float]:
    """Of every layer's outputs: roots of mean squares of the differences from the target's, over those of the target's.

    0 is equal, 1 what a network of zeros has. Where the target's neurons have several copies, all of them count.

    Args:
        images: float64.

    Returns:
        by the layers of the target, in the order of the forward pass.
    """
    architecture = target_architecture(network.ticket)
    reference = filled(architecture, approximated_by(network.ticket, target), torch.float64)
    pruned = network.module(torch.float64)
    names = [layer.name for layer in weight_layers(architecture)]
    squares = np.zeros((2, len(names)))
    with outputs(pruned, names) as found, outputs(reference, names) as exact:
        for block in images.split(BATCH):
            pruned(block)
            reference(block)
            squares += [
                [_square(found[name], exact[name]) for name in names],
                [float(exact[name].square().mean()) for name in names],
            ]
    return dict(zip(names, np.sqrt(squares[0] / squares[1]).tolist(), strict=True))


@contextmanager
def outputs(module: torch.nn.Module, names: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """What these parts of a module gave when they were called last, by path."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        return lambda part, inputs, output: found.__setitem__(name, output)

    hooks = [module.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _square(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The mean squared difference; of copies, one after the other on the axis of channels, over all of them."""
    return float((found.unflatten(1, (-1, exact.shape[1])) - exact[:, None]).square().mean())
