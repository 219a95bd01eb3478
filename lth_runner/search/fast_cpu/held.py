"""Redundant layers whose folded matrix is worked out outside the forward pass."""

import copy

import torch
from torch.nn.functional import linear

from lth_runner.networks.attention import replaced_
from lth_runner.networks.redundant import RedundantLinear, branches
from lth_runner.search.scored import ScoredNetwork


class HeldMatrix(torch.nn.Module):
    """What `RedundantLinear` computes, by one matrix on the branches of its input; others keep it up to date."""

    def __init__(self, layer: RedundantLinear) -> None:
        super().__init__()
        self.relu = layer.relu
        shape = (layer.weight2.shape[0], layer.inputs * (2 if layer.relu else 1))
        self.matrix = torch.nn.Parameter(torch.zeros(shape), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(branches(x, self.relu), self.matrix)


def with_held_matrices(network: ScoredNetwork) -> tuple[torch.nn.Module, dict[str, HeldMatrix]]:
    """A copy of the module with a held matrix for every redundant layer whose weights both have scores, and these by
    the prefix of their names ("fc1.")."""
    module, found = copy.deepcopy(network.module), {}
    for path, layer in list(module.named_modules()):
        prefix = f"{path}." if path else ""
        if isinstance(layer, RedundantLinear) and {f"{prefix}weight1", f"{prefix}weight2"} <= network.scores.keys():
            found[prefix] = HeldMatrix(layer)
            module = replaced_(module, path, found[prefix])
    return module, found
