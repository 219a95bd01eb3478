"""Where a network's tensors would hold copies of its neurons, if every hidden neuron existed several times."""

import operator
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from lth_runner.core.errors import ConfigError
from lth_runner.networks.activations import activation_of
from lth_runner.networks.graph import calls
from lth_runner.networks.interface import Architecture, skeleton
from lth_runner.networks.resnet import PaddedShortcut

F = torch.nn.functional
ONE_BY_ONE: set[Any] = {  # beside the layers whose behaviour is known: neurons one by one, channel by channel
    torch.nn.ReLU6, torch.nn.ELU, torch.nn.GELU, torch.nn.LeakyReLU, torch.nn.Softplus, torch.nn.Hardsigmoid,
    torch.nn.Identity, torch.nn.Dropout, torch.nn.Flatten, torch.nn.MaxPool1d, torch.nn.MaxPool2d, torch.nn.AvgPool1d,
    torch.nn.AvgPool2d, torch.nn.AdaptiveAvgPool1d, torch.nn.AdaptiveAvgPool2d, torch.nn.AdaptiveMaxPool2d,
    torch.relu, torch.tanh, torch.sigmoid, F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.softplus, F.sigmoid,
    F.tanh, F.hardsigmoid, F.dropout, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, "relu", "relu_", "tanh",
    "sigmoid", torch.add, operator.add, operator.iadd, "add", "add_",
}  # fmt: skip
FLATTEN: set[Any] = {torch.flatten, "flatten"}
MEAN: set[Any] = {torch.mean, "mean"}
CHANNELS = PaddedShortcut  # without weights, and not channel by channel: computed for every copy by itself
INSTEAD = "take method=pensia, which replaces every layer where it stands"


@dataclass(frozen=True, kw_only=True)
class Copied:
    """Of one layer with weights: whether its inputs have copies, and whether its outputs have."""

    before: bool
    behind: bool


@dataclass(frozen=True, kw_only=True)
class CopyFlow:
    """Of one network.

    Attributes:
        layers: by the path of every layer with weights.
        channels: paths of the parts that have to be computed for every copy by itself.
    """

    layers: dict[str, Copied]
    channels: list[str]


def copy_flow(architecture: Architecture, layers: Collection[str]) -> CopyFlow:
    """What of a network has copies if all outputs of the given layers have that lead to another one of them.

    Inputs and outputs of the network have none. Between the layers copies pass through what is computed neuron by
    neuron or channel by channel, and add up copy by copy: the c-th copies of two tensors give the c-th of their sum,
    as h and F(h) do in a residual block.

    Args:
        layers: paths of the layers that can have copies.

    Raises:
        ConfigError: the forward pass cannot be traced, or does anything else with copies; other parts have weights.
    """
    module = skeleton(architecture)
    graph = calls(module, lambda part: isinstance(part, CHANNELS))
    if graph is None:
        raise ConfigError(
            f"{type(architecture).__name__} does not show where its tensors go, which copies of neurons need: {INSTEAD}"
        )
    _check_weights(graph, module, layers)
    leading, copied = _leading(graph, layers), dict[fx.Node, bool]()
    flow = CopyFlow(layers={}, channels=[])
    for node in graph.nodes:
        before, path = _copies_of_inputs(node, copied), str(node.target)
        if node.op == "call_module" and path in layers:
            copied[node] = node in leading
            _note(flow, path, Copied(before=before, behind=node in leading))
        else:
            if before:
                _check_passes(node, module)
            copied[node] = before
            if before and isinstance(_part(node, module), CHANNELS):
                flow.channels.append(path)
    if unused := [path for path in layers if path not in flow.layers]:
        raise ConfigError(f"copies of neurons need layers that are called, and {unused[0]} is not: {INSTEAD}")
    return flow


def _leading(graph: fx.Graph, layers: Collection[str]) -> set[fx.Node]:
    """The nodes whose values a layer takes, directly or through what is no such layer."""
    found = set[fx.Node]()
    for node in reversed(graph.nodes):
        if any(_is_layer(user, layers) or user in found for user in node.users):
            found.add(node)
    return found


def _is_layer(node: fx.Node, layers: Collection[str]) -> bool:
    return node.op == "call_module" and str(node.target) in layers


def _copies_of_inputs(node: fx.Node, copied: dict[fx.Node, bool]) -> bool:
    """Whether the tensors that a node takes have copies: all of them, or none."""
    found = {copied[source] for source in node.all_input_nodes}
    if len(found) > 1 or (node.op == "output" and True in found):
        what = "an output" if node.op == "output" else str(node.name)
        raise ConfigError(
            f"copies of neurons meet only copies, and {what} takes hidden neurons together with inputs or outputs of "
            f"the network: {INSTEAD}"
        )
    return True in found


def _note(flow: CopyFlow, path: str, copied: Copied) -> None:
    if flow.layers.setdefault(path, copied) != copied:
        raise ConfigError(f"copies of neurons need layers with one place, and {path} is called at several: {INSTEAD}")


def _check_weights(graph: fx.Graph, module: torch.nn.Module, layers: Collection[str]) -> None:
    """Refuses weights other than those of the given layers."""
    for node in graph.nodes:
        part = _part(node, module)
        own = part is not None and any(True for _ in [*part.parameters(), *part.buffers()])
        if node.op == "get_attr" or (own and not _is_layer(node, layers)):
            raise ConfigError(
                f"copies of neurons need linear layers and plain convolutions, and {node.target} is neither: {INSTEAD}"
            )


def _check_passes(node: fx.Node, module: torch.nn.Module) -> None:
    """Refuses a step that copies do not pass."""
    part = _part(node, module)
    if node.op != "output" and not _passes(node, part):
        name = type(part).__name__ if part is not None else getattr(node.target, "__name__", str(node.target))
        raise ConfigError(
            f"copies of neurons pass only what takes neurons one by one, and {name} does not: take method=pensia"
        )


def _part(node: fx.Node, module: torch.nn.Module) -> torch.nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def _passes(node: fx.Node, part: torch.nn.Module | None) -> bool:
    """Whether a step treats every copy as the target's neurons are treated."""
    if isinstance(part, torch.nn.Flatten):
        return (part.start_dim, part.end_dim) == (1, -1)
    if part is not None:
        return type(part) in ONE_BY_ONE or isinstance(part, CHANNELS) or activation_of(part) is not None
    if node.target in FLATTEN:
        return (node.args[1:], node.kwargs) in (((1,), {}), ((), {"start_dim": 1}))
    if node.target in MEAN:
        axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return isinstance(axes, tuple | list) and all(isinstance(axis, int) and axis >= 2 for axis in axes)
    return node.target in ONE_BY_ONE
