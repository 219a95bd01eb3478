"""Whether several networks can be called at once: stacked along an axis of runs, by `vmap`."""

from collections.abc import Iterable

import torch
from torch.func import functional_call, vmap

from lth_runner.networks.interface import tensors_of
from lth_runner.search.trainer import gathered, plain_attention


@torch.no_grad()
def why_apart(module: torch.nn.Module, names: Iterable[str], images: torch.Tensor) -> str | None:
    """What torch says against calling networks of this module together; None if they can be.

    Args:
        names: of the tensors that differ between the networks.
        images: a few.
    """
    module_tensors = tensors_of(module)
    tensors = {name: torch.stack([module_tensors[name]] * 2) for name in [*names, *gathered(module)]}
    try:
        with plain_attention():
            vmap(lambda each: functional_call(module, each, (images,)))(tensors)
    except (RuntimeError, ValueError, TypeError) as error:  # control flow on numbers, random numbers, foreign kernels
        return str(error).partition("\n")[0]
    return None
