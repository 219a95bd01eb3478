"""How deep a network is: layers with weights on the longest way from its inputs to its outputs."""

from typing import Any

import torch
from torch import fx

from lth_runner.networks.graph import calls
from lth_runner.networks.interface import Architecture, skeleton

LAYERS: Any = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def depth(architecture: Architecture) -> int | None:
    """Linear and convolutional layers on the longest path; None where the forward pass cannot be traced."""
    module = skeleton(architecture)
    graph = calls(module, lambda part: False)
    if graph is None:
        return None
    longest: dict[fx.Node, int] = {}
    for node in graph.nodes:
        part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        before = max((longest[source] for source in node.all_input_nodes), default=0)
        longest[node] = before + isinstance(part, LAYERS)
    return max(longest.values())
