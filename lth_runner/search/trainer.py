"""What trains scores: some networks of one architecture, step by step on the same batches."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch

from lth_runner.data.interface import Inputs, split
from lth_runner.networks.layers import BATCH_NORMS

BUFFER = "buffer/"  # before the names of statistics in a trainer's state


class ScoreTrainer(Protocol):
    """The scores of R networks in training; their weights never change."""

    def step(self, inputs: Inputs, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """One update on a batch; gives the loss before it, a 0-d tensor: the mean over the networks."""
        ...

    def end_epoch(self, epoch: int) -> None:
        """Called after every epoch with the number of finished ones, for searches that prune as they go."""
        ...

    def accuracies(self, inputs: Inputs, labels: torch.Tensor, batch: int) -> list[float]:
        """Of each pruned network, as fractions."""
        ...

    def masks(self, run: int) -> dict[str, torch.Tensor]:
        """The masks of one network by weight name, True = kept: copies."""
        ...

    def statistics(self, run: int) -> dict[str, torch.Tensor]:
        """The buffers that one network's batch norms gathered, by name: copies."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """All that later steps depend on."""
        ...

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from what `state` gave."""
        ...


def gathering(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The batch norms that gather statistics, by path: those in training mode."""
    norms = {path: part for path, part in module.named_modules() if isinstance(part, BATCH_NORMS) and part.training}
    return {path: norm for path, norm in norms.items() if norm.running_mean is not None}


def gathered(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Their buffers, by name."""
    return {
        f"{path}.{name}" if path else name: buffer
        for path, norm in gathering(module).items()
        for name, buffer in norm.named_buffers(recurse=False)
    }


@contextlib.contextmanager
def evaluated(module: torch.nn.Module) -> Iterator[None]:
    """Batch norms use what they have gathered, and gather no more."""
    norms = gathering(module).values()
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention without torch's shortcut for inference, which knows neither gradients of given weights nor `vmap`."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@torch.no_grad()
def fractions_right(
    outputs: Callable[[Inputs], torch.Tensor], inputs: Inputs, labels: torch.Tensor, batch: int
) -> list[float]:
    """Of each of R networks, the fraction of the inputs whose largest output is that of the label.

    Args:
        outputs: gives (R, B, classes) for a batch.
    """
    counts = [
        (outputs(block).argmax(dim=2) == truth).sum(dim=1)
        for block, truth in zip(split(inputs, batch), labels.split(batch), strict=True)
    ]
    return [int(count) / len(labels) for count in torch.stack(counts).sum(dim=0)]
