"""Which modules are plain fully connected ReLU networks."""

from itertools import pairwise

import torch
from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def linear_layers(module: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers, by name, of Flatten, Linear, ReLU, Linear, ..., Linear in float32 on a CPU, all of it trained.

    {} for everything else: subclasses, hooks, tied or fixed parameters, biases in some layers only.
    """
    children = list(module._modules.items()) if type(module) is nn.Sequential else []
    kinds = [nn.Flatten, *(nn.ReLU if i % 2 else nn.Linear for i in range(len(children) - 1))]
    if len(children) < 2 or [type(child) for _, child in children] != kinds or kinds[-1] is not nn.Linear:
        return {}
    flatten = children[0][1]
    assert isinstance(flatten, nn.Flatten), "by its kind"
    layers = {name: child for name, child in children if isinstance(child, nn.Linear)}
    return layers if _plain(module, flatten, list(layers.values())) else {}


def _plain(module: nn.Module, flatten: nn.Flatten, layers: list[nn.Linear]) -> bool:
    """Whether nothing but the kinds of the layers is special: what is flattened, hooks, biases, widths, parameters."""
    parameters = list(module.parameters())  # tied ones once
    return (
        (flatten.start_dim, flatten.end_dim) == (1, -1)
        and not any(getattr(part, hook) for part in module.modules() for hook in HOOKS)
        and len({layer.bias is None for layer in layers}) == 1
        and all(one.out_features == other.in_features for one, other in pairwise(layers))
        and len(parameters) == len(layers) * (1 if layers[0].bias is None else 2)
        and all(p.requires_grad and p.dtype == torch.float32 and p.device.type == "cpu" for p in parameters)
        and all(p.is_contiguous() and not p._backward_hooks for p in parameters)
    )
