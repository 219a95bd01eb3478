"""What a search is: a rule on scores. Everything else, from the first draw to the ticket, is shared."""

from typing import ClassVar, Protocol

import torch


class Rule(Protocol):
    """How scores make a mask, what the network uses of a kept weight, and how scores move.

    Functions are pure, on tensors with a leading axis of runs: R networks of one architecture, trained on the same
    batches. They wait for no device, but for `end_epoch`.
    """

    score_range: ClassVar[tuple[float, float] | None]  # where scores start and stay; None: anywhere

    @property
    def momentum(self) -> float:
        """Of the SGD on the scores, in [0, 1]."""
        ...

    def decay(self) -> float:
        """What times a score is added to its gradient."""
        ...

    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """(R, n) bool, True = kept, of a group of competing scores.

        Args:
            scores: (R, n) float32.
            active: (R, n) bool; what is not was pruned for good.
            kept: (R,) int32, how many each run is to keep.
        """
        ...

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(R, n): what the networks use of one weight tensor, 0 where it is pruned."""
        ...

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(R, n): dL/dscore from dL/deffective of one weight tensor; `weight` is 0 where it is not active."""
        ...

    def end_epoch(self, epoch: int, scores: torch.Tensor, active: torch.Tensor, density: float) -> torch.Tensor:
        """(n,) bool: what of one group of one run is active after so many epochs; what was not stays so.

        Args:
            epoch: how many are finished.
            scores, active: (n,), on the CPU.
            density: that this run asks for.
        """
        ...
