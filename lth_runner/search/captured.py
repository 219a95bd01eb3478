"""On a GPU: a step that is captured once and replayed, and functions that are compiled."""

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from lth_runner.data.interface import Inputs, named

SHAPES = 256  # that one function may be compiled for: every weight of every training of a process has its own
WARM_UP = 3  # steps before a capture, so that libraries and compiled kernels are loaded

Tensors = Mapping[str, torch.Tensor]


def compiled_for_gpus(function: Callable) -> Callable:
    """The function, compiled when its first argument lies on a GPU, for every shape it meets.

    Compiled for all sizes at once, a sum over a long row runs in one block of threads: 44 ms a step were measured on an
    H100, for five densities of two million weights. Torch gives up after 8 shapes and would go on uncompiled, silently,
    so that it is given room for more. What compiles is imported at the first call, since that takes seconds.
    """
    found: list[Callable] = []

    @functools.wraps(function)
    def call(first: torch.Tensor, *others: Any) -> Any:
        if not first.is_cuda:
            return function(first, *others)
        if not found:
            found.append(torch.compile(function, dynamic=False))
        with torch._dynamo.config.patch(recompile_limit=SHAPES):
            return found[0](first, *others)

    return call


class CapturedStep:
    """The step for one shape of batches, captured: replayed on what its own input tensors hold.

    Args:
        step: one update, on inputs and labels; it changes the tensors of `state` in place, and waits for nothing.
        state, load: what the warm-up moves, and how it is put back.
    """

    def __init__(
        self,
        step: Callable[[Inputs, torch.Tensor], torch.Tensor],
        state: Callable[[], Tensors],
        load: Callable[[Tensors], None],
        inputs: Inputs,
        labels: torch.Tensor,
    ) -> None:
        self.inputs, self.labels = copy.deepcopy(inputs), labels.clone()
        device = labels.device
        before = {name: tensor.clone() for name, tensor in state().items()}
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step(self.inputs, self.labels)
        torch.cuda.current_stream(device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.graph(self.graph):
            self.losses = step(self.inputs, self.labels)
        load(before)

    def replay(self, inputs: Inputs, labels: torch.Tensor) -> torch.Tensor:
        """Every run's loss before the step, (R,)."""
        for (_, own), (_, given) in zip(named(self.inputs), named(inputs), strict=True):
            own.copy_(given)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.losses.clone()
