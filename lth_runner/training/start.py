"""Starting weights from our streams, since torch's own initialisation draws from a global state."""

import math

import torch

from lth_runner.core.streams import Streams
from lth_runner.networks.interface import Architecture


def built(network: Architecture, streams: Streams, purpose: str) -> torch.nn.Module:
    """The network's module on the CPU with the values that it draws itself, under the torch seed of (purpose,).

    Torch's global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(streams.torch_seed(purpose))
        return network.module()


@torch.no_grad()
def start_(module: torch.nn.Module, streams: Streams, purpose: str) -> None:
    """Overwrites weights by U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's default law for its layers, and biases by 0.

    Parameters with fewer than two axes that are no biases (scales of norms) stay as the module made them. The weights
    of a parameter are the stream (purpose, "start", name).
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            bound = 1 / math.sqrt(math.prod(parameter.shape[1:]))
            uniform = streams.uniform((purpose, "start", name), 0, parameter.numel()).reshape(parameter.shape)
            parameter.copy_(torch.from_numpy((2 * uniform - 1) * bound))
        elif name.endswith("bias"):
            parameter.zero_()
