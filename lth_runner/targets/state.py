"""The tensors of a target as arrays."""

from collections.abc import Mapping

import numpy as np
import torch


def arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """As NumPy arrays: floating ones in float64, others as they are."""
    return {
        name: (tensor.to(torch.float64) if tensor.is_floating_point() else tensor).detach().cpu().numpy().copy()
        for name, tensor in tensors.items()
    }
