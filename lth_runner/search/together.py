"""Several networks called at once: stacked along an axis of runs, by `vmap`."""

import contextlib
from collections.abc import Callable, Iterable

import torch
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth_runner.data.interface import Inputs
from lth_runner.networks.interface import tensors_of
from lth_runner.search.trainer import gathered, plain_attention

Tensors = dict[str, torch.Tensor]


def for_each_run(function: Callable[[Tensors], torch.Tensor], tensors: Tensors) -> torch.Tensor:
    """The function of each run's tensors, stacked along a leading axis; one run alone is not mapped.

    Args:
        tensors: (R, ...) each. What the function changes in place is changed in them.
    """
    first = next(iter(tensors.values()))
    with plain_attention():
        if len(first) == 1:
            return function({name: stacked.squeeze(0) for name, stacked in tensors.items()})[None]
        # torch's fused attention for CPUs has no rule for vmap
        fused = sdpa_kernel(SDPBackend.MATH) if first.device.type == "cpu" else contextlib.nullcontext()
        with fused:
            return vmap(function)(tensors)


@torch.no_grad()
def why_apart(module: torch.nn.Module, names: Iterable[str], inputs: Inputs) -> str | None:
    """What torch says against calling networks of this module together; None if they can be.

    Args:
        names: of the tensors that differ between the networks.
        inputs: a few.
    """
    own = tensors_of(module)
    tensors = {name: torch.stack([own[name]] * 2) for name in [*names, *gathered(module)]}
    try:
        for_each_run(lambda each: functional_call(module, each, (inputs,)), tensors)
    except (RuntimeError, ValueError, TypeError) as error:  # control flow on numbers, random numbers, foreign kernels
        return str(error).partition("\n")[0]
    return None
