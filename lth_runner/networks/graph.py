"""What a trace of the forward pass tells: in which order layers are used, and whose inputs are never negative."""

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from lth_runner.networks.attention import SelfAttention

F = torch.nn.functional
NEVER_NEGATIVE: set[Any] = {
    torch.nn.ReLU, torch.nn.ReLU6, torch.nn.Sigmoid, torch.nn.Hardsigmoid, torch.nn.Softplus, torch.nn.Softmax,
    torch.relu, F.relu, F.relu6, torch.sigmoid, F.sigmoid, F.hardsigmoid, F.softplus, torch.softmax, F.softmax,
    "relu", "sigmoid", "softmax", "abs",
}  # fmt: skip
KEEP_SIGN: set[Any] = {
    torch.nn.Flatten, torch.nn.Unflatten, torch.nn.Identity, torch.nn.MaxPool1d, torch.nn.MaxPool2d, torch.nn.AvgPool1d,
    torch.nn.AvgPool2d, torch.nn.AdaptiveAvgPool1d, torch.nn.AdaptiveAvgPool2d, torch.nn.AdaptiveMaxPool2d,
    torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.flatten, torch.reshape, torch.transpose,
    torch.permute, torch.squeeze, torch.unsqueeze, torch.mean, torch.sum, F.max_pool2d, F.avg_pool2d,
    F.adaptive_avg_pool2d, F.dropout, operator.getitem, "view", "reshape", "flatten", "unflatten", "permute",
    "transpose", "contiguous", "mean", "sum", "amax", "squeeze", "unsqueeze", "expand",
}  # fmt: skip
KEEP_SIGN_TOGETHER: set[Any] = {torch.cat, torch.stack, torch.add, torch.mul, operator.add, operator.mul, "add", "mul"}


@dataclass
class Trace:
    """Of one module.

    Attributes:
        never_negative: by the path of every layer that is called, whether all its inputs are known to have no negative
            entries; in the order of the forward pass.
        follows: by the path of a layer, that of the one whose output is its only input and goes nowhere else.
    """

    never_negative: dict[str, bool] = field(default_factory=dict)
    follows: dict[str, str] = field(default_factory=dict)


class _Tracer(fx.Tracer):
    """Stops at torch's own layers, and at attention, whose projections are looked at as a whole."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SelfAttention) or super().is_leaf_module(m, module_qualified_name)


def trace(module: torch.nn.Module, positive_inputs: bool) -> Trace | None:
    """The trace; None where the forward pass cannot be traced, as with control flow that depends on the numbers.

    Args:
        positive_inputs: whether the network's own inputs have no negative entries.
    """
    try:
        graph = _Tracer().trace(module)
    except Exception:  # a stranger's forward pass can raise anything when it is called with stand-ins
        return None
    found, known = Trace(), dict[fx.Node, bool]()
    for node in graph.nodes:
        known[node] = positive_inputs if node.op == "placeholder" else _is_never_negative(node, module, known)
        if node.op == "call_module":
            _note(found, node, module, known)
    return found


def _note(found: Trace, node: fx.Node, module: torch.nn.Module, known: dict[fx.Node, bool]) -> None:
    path, source = str(node.target), node.args[0] if node.args else None
    never = isinstance(source, fx.Node) and known[source]
    layer = module.get_submodule(path)
    parts = {f"{path}.in_proj": never, f"{path}.out_proj": False} if isinstance(layer, SelfAttention) else {path: never}
    again = path in found.never_negative or path in found.follows
    for part, flag in parts.items():  # a layer that is used twice must take both inputs
        found.never_negative[part] = found.never_negative.get(part, True) and flag
    if isinstance(source, fx.Node) and source.op == "call_module" and len(source.users) == 1 and not again:
        found.follows[path] = str(source.target)
    else:
        found.follows.pop(path, None)


def _is_never_negative(node: fx.Node, module: torch.nn.Module, known: dict[fx.Node, bool]) -> bool:
    what: Any = type(module.get_submodule(str(node.target))) if node.op == "call_module" else node.target
    if what in NEVER_NEGATIVE:
        return True
    together = what in KEEP_SIGN_TOGETHER
    if not together and what not in KEEP_SIGN:
        return False
    inputs = node.all_input_nodes if together else node.all_input_nodes[:1]
    numbers = [value for value in node.args if isinstance(value, int | float)] if together else []
    return bool(inputs) and all(known[source] for source in inputs) and all(value >= 0 for value in numbers)
