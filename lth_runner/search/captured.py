"""On a GPU: a step that is captured once and replayed, and functions compiled for every shape they meet."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

SHAPES = 256  # that one function may be compiled for: every weight of every training of a process has its own
WARM_UP = 3  # steps before a capture, so that libraries and compiled kernels are loaded

Tensors = Mapping[str, torch.Tensor]


def compiled(function: Callable) -> Callable:
    """The function compiled for every shape it meets: torch gives up after 8 and would go on uncompiled, silently."""
    found = torch.compile(function, dynamic=False)

    def call(*arguments: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=SHAPES):
            return found(*arguments)

    return call


class CapturedStep:
    """The step for one shape of batches, captured: replayed on what its own input tensors hold.

    Args:
        step: one update, on images and labels; it changes the tensors of `state` in place, and waits for nothing.
        state, load: what the warm-up moves, and how it is put back.
    """

    def __init__(
        self,
        step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        state: Callable[[], Tensors],
        load: Callable[[Tensors], None],
        images: torch.Tensor,
        labels: torch.Tensor,
    ) -> None:
        self.images, self.labels = images.clone(), labels.clone()
        before = {name: tensor.clone() for name, tensor in state().items()}
        side = torch.cuda.Stream(images.device)
        side.wait_stream(torch.cuda.current_stream(images.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step(self.images, self.labels)
        torch.cuda.current_stream(images.device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(images.device), torch.cuda.graph(self.graph):
            self.losses = step(self.images, self.labels)
        load(before)

    def replay(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Every run's loss before the step, (R,)."""
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.losses.clone()
