"""Redundant layers worked out as one matrix, for the time of a training: the same function, less arithmetic."""

import copy

import torch
from torch.nn.functional import linear

from lth_runner.networks.attention import replaced_
from lth_runner.networks.redundant import RedundantLinear, branches, fold


class FoldedLayer(torch.nn.Module):
    """`RedundantLinear` as one matrix on the branches of its input; the weights and their names are its own."""

    def __init__(self, layer: RedundantLinear) -> None:
        super().__init__()
        self.weight1, self.weight2, self.relu = layer.weight1, layer.weight2, layer.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(branches(x, self.relu), fold(self.weight1, self.weight2, self.relu))


def folded(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of the module whose redundant layers are folded in every forward pass."""
    module = copy.deepcopy(module)
    for path, layer in list(module.named_modules()):
        if isinstance(layer, RedundantLinear):
            module = replaced_(module, path, FoldedLayer(layer))
    return module
