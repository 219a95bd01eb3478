"""What a trace of the forward pass tells: in which order layers are used, and whose inputs are never negative."""

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from lth_runner.networks.attention import AttentionLayer, SelfAttention

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
KEEP_AXES: set[Any] = {
    torch.nn.Linear, torch.nn.BatchNorm1d, torch.nn.LayerNorm, torch.nn.Identity, torch.nn.Dropout, torch.nn.ReLU,
    torch.nn.LeakyReLU, torch.nn.ReLU6, torch.nn.GELU, torch.nn.ELU, torch.nn.SiLU, torch.nn.Sigmoid, torch.nn.Tanh,
    torch.relu, F.relu, F.leaky_relu, F.gelu, F.elu, F.silu, torch.sigmoid, torch.tanh, F.dropout, "relu", "sigmoid",
    "tanh", operator.add, operator.mul,
}  # fmt: skip
IN_PLACE: set[Any] = {
    operator.setitem, operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow,
}  # fmt: skip


@dataclass
class Trace:
    """Of one module.

    Attributes:
        never_negative: by the path of every layer that is called, whether all its inputs are known to have no negative
            entries; in the order of the forward pass.
        follows: by the path of a layer, that of the one whose output is its only input and goes nowhere else; both
            `alone`.
        alone: the paths of the layers that are called once, and whose tensors nothing else reads.
        flat: the paths of the layers whose input is known to have two axes, (N, features).
        read: names of the parameters and buffers that the forward pass reads itself.
    """

    never_negative: dict[str, bool] = field(default_factory=dict)
    follows: dict[str, str] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    flat: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)


class _Tracer(fx.Tracer):
    """Stops at torch's own layers, and at others where it is asked to."""

    proxy_buffer_attributes = True  # so that reading a buffer leaves a node

    def __init__(self, is_whole: Callable[[torch.nn.Module], bool]) -> None:
        super().__init__()
        self._is_whole = is_whole

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return self._is_whole(m) or super().is_leaf_module(m, module_qualified_name)


def calls(module: torch.nn.Module, is_whole: Callable[[torch.nn.Module], bool]) -> fx.Graph | None:
    """What the forward pass of a module calls, which it puts into evaluation mode; None where it cannot be traced, as
    with control flow that depends on the numbers.

    Args:
        is_whole: whether a part is one call; torch's own layers are, and of other parts their calls are listed.
    """
    try:
        return _Tracer(is_whole).trace(module.eval())
    except Exception:  # a stranger's forward pass can raise anything when it is called with stand-ins
        return None


def trace(module: torch.nn.Module, positive_inputs: bool) -> Trace | None:
    """The trace of a module, which it puts into evaluation mode; None where its forward pass cannot be traced.

    Attentions are one call, whose projections are looked at as a whole.

    Args:
        positive_inputs: whether the network's own inputs have no negative entries.
    """
    graph = calls(module, lambda part: isinstance(part, AttentionLayer))
    if graph is None:
        return None
    found, known, flat = Trace(alone=_alone(graph, module)), dict[fx.Node, bool](), dict[fx.Node, bool]()
    overwritten = _overwritten(graph, module)
    for node in graph.nodes:
        never = positive_inputs if node.op == "placeholder" else _is_never_negative(node, module, known)
        known[node] = never and node not in overwritten
        flat[node] = _is_flat(node, module, flat)
        if node.op == "call_module":
            _note(found, node, module, known)
            if all(flat[source] for source in node.all_input_nodes):
                found.flat.add(str(node.target))
    found.flat &= found.alone
    found.read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return found


def _alone(graph: fx.Graph, module: torch.nn.Module) -> set[str]:
    called = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    if any(
        name.startswith("_tensor_constant") for name in read
    ):  # worked out of tensors of the module, who knows which
        return set()
    readers = Counter(id(tensor) for part in module.modules() for tensor in _own(part))
    readers.update(id(tensor) for name, tensor in _tensors(module).items() if name in read)
    inside = Counter(id(part) for path in called for part in module.get_submodule(path).modules())

    def is_alone(path: str) -> bool:
        part = module.get_submodule(path)
        return inside[id(part)] == 1 and all(readers[id(tensor)] == 1 for tensor in _own(part))

    return {path for path, times in called.items() if times == 1 and is_alone(path)}


def _own(part: torch.nn.Module) -> list[torch.Tensor]:
    return [*part.parameters(recurse=False), *part.buffers(recurse=False)]


def _tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by all their names."""
    named = (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))
    return {name: tensor for each in named for name, tensor in each}


def _note(found: Trace, node: fx.Node, module: torch.nn.Module, known: dict[fx.Node, bool]) -> None:
    path, source = str(node.target), node.args[0] if node.args else None
    never = isinstance(source, fx.Node) and known[source]
    layer = module.get_submodule(path)
    parts = {f"{path}.in_proj": never, f"{path}.out_proj": False} if isinstance(layer, SelfAttention) else {path: never}
    for part, flag in parts.items():  # a layer that is used twice must take both inputs
        found.never_negative[part] = found.never_negative.get(part, True) and flag
    if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
        return
    if {path, str(source.target)} <= found.alone:
        found.follows[path] = str(source.target)


def _is_flat(node: fx.Node, module: torch.nn.Module, flat: dict[fx.Node, bool]) -> bool:
    """Whether a node is known to have two axes, (N, features)."""
    part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    if isinstance(part, torch.nn.Flatten):
        return (part.start_dim, part.end_dim) == (1, -1)
    if node.target in (torch.flatten, "flatten"):
        return (node.args[1:], node.kwargs) in (((1,), {}), ((), {"start_dim": 1}))
    if node.target in ("view", "reshape"):
        return len(node.args) == 3
    what: Any = node.target if part is None else type(part)
    return what in KEEP_AXES and bool(node.all_input_nodes) and all(flat[source] for source in node.all_input_nodes)


def _is_never_negative(node: fx.Node, module: torch.nn.Module, known: dict[fx.Node, bool]) -> bool:
    what = _what(node, module)
    if node.op == "get_attr":
        return False
    if what in NEVER_NEGATIVE:
        return True
    together = what in KEEP_SIGN_TOGETHER
    if not together and what not in KEEP_SIGN:
        return False
    inputs = node.all_input_nodes if together else node.all_input_nodes[:1]
    settings = [value for key, value in node.kwargs.items() if key not in ("dim", "axis")]
    numbers = [value for value in (*node.args, *settings) if isinstance(value, int | float)] if together else []
    return bool(inputs) and all(known[source] for source in inputs) and all(value >= 0 for value in numbers)


def _overwritten(graph: fx.Graph, module: torch.nn.Module) -> set[fx.Node]:
    """The nodes whose numbers an operation in place may change, themselves or through a view."""
    found, todo = set[fx.Node](), [source for node in graph.nodes for source in _written(node, module)]
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += [user for user in node.users if not _is_new(user, module)]
            todo += [] if _is_new(node, module) else node.all_input_nodes
    return found


def _written(node: fx.Node, module: torch.nn.Module) -> list[fx.Node]:
    """The inputs of a node that it may overwrite by negative numbers."""
    if isinstance(node.kwargs.get("out"), fx.Node):
        return [*node.all_input_nodes]
    what = _what(node, module)
    name = what if isinstance(what, str) else getattr(what, "__name__", "")
    own = (name.endswith("_") and not name.endswith("__")) or what in IN_PLACE
    if node.op == "call_module":
        own = bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    asked = bool(node.kwargs.get("inplace")) or (getattr(what, "__module__", "") == F.__name__ and True in node.args)
    never = what in NEVER_NEGATIVE or what in KEEP_SIGN or name in ("relu_", "sigmoid_", "abs_")
    return [] if never or node.op == "get_attr" or not (own or asked) else node.all_input_nodes[:1]


def _is_new(node: fx.Node, module: torch.nn.Module) -> bool:
    """Whether the node's numbers are surely of its own, no view of its inputs."""
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        return type(part) not in KEEP_SIGN and not getattr(part, "inplace", False)
    return node.op == "placeholder" or node.target in KEEP_SIGN_TOGETHER


def _what(node: fx.Node, module: torch.nn.Module) -> Any:
    """What a node calls: a type of layer, a function, or the name of a method."""
    return type(module.get_submodule(str(node.target))) if node.op == "call_module" else node.target
