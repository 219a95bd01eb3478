"""What trains scores: some networks of one architecture, step by step on the same batches."""

from collections.abc import Mapping
from typing import Protocol

import torch


class ScoreTrainer(Protocol):
    """The scores of R masked networks on their way; the random weights never change."""

    def step(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """One update on a batch; gives the loss before it, a 0-d tensor: the mean over the networks."""
        ...

    def end_epoch(self, epoch: int) -> None:
        """Told after every epoch how many are finished, for searches that prune as they go."""
        ...

    def accuracies(self, images: torch.Tensor, labels: torch.Tensor, batch: int) -> list[float]:
        """Of each pruned network, as fractions."""
        ...

    def masks(self, run: int) -> dict[str, torch.Tensor]:
        """The masks of one network by weight name, True = kept: copies."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """All that later steps depend on."""
        ...

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from what `state` gave."""
        ...
