"""The whole state of a network as a target: parameters and the buffers that a state dict has, tied tensors once."""

from collections.abc import Mapping

import numpy as np
import torch


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and persistent buffers in the order of the module's state dict, tied ones under their first name."""
    tensors = module.state_dict(keep_vars=True)
    return {name: tensors[name].detach() for name, first in first_names(module).items() if name == first}


def first_names(module: torch.nn.Module) -> dict[str, str]:
    """For every name of the module's state dict the first name of the same tensor, mostly itself."""
    first: dict[int, str] = {}
    tensors = module.state_dict(keep_vars=True)
    return {
        name: first.setdefault(id(tensor), name) for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)
    }


def arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """As NumPy arrays: floating ones in float64, others as they are."""
    return {
        name: (tensor.to(torch.float64) if tensor.is_floating_point() else tensor).detach().cpu().numpy().copy()
        for name, tensor in tensors.items()
    }
