"""What a search is: a rule on scores. Everything else, from the first draw to the ticket, is shared."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import torch

from lth_runner.search.scored import ScoredNetwork


class Change(Protocol):
    """What changes between steps beside the scores: noise on them, or the weights themselves."""

    @property
    def noise(self) -> torch.Tensor | None:
        """(R, N) or (1, N), added to the scores wherever a mask is made of them; None for none."""
        ...

    @property
    def weights(self) -> torch.Tensor | None:
        """(R, N), in place of those that were drawn; None for these."""
        ...

    def before_step(self, masks: Callable[[], torch.Tensor]) -> bool:
        """Called before every step with what gives the masks of now, (R, N); whether anything is different."""
        ...

    def finish(self) -> None:
        """Brings noise and weights to what the network is without further steps, as for a ticket."""
        ...

    def chosen(self, masks: torch.Tensor) -> torch.Tensor:
        """(R, N): what the masks tell a ticket, from the rule's."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps of it; it is changed in place."""
        ...


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
        """(R, n) bool, True = kept, of a group of competing scores; whole numbers where a weight counts otherwise.

        Args:
            scores: (R, n) float32.
            active: (R, n) bool; what is not was pruned for good.
            kept: (R,) int32, how many weights each run is to keep.
        """
        ...

    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(R, places): what the networks use of one weight tensor, 0 where it is pruned; n = places, or K for each."""
        ...

    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(R, n): dL/dscore from dL/deffective of one weight tensor; `weight` is 0 where it is not active."""
        ...

    def change(self, networks: Sequence[ScoredNetwork], device: str) -> Change | None:
        """What changes between steps; None: nothing but the scores."""
        ...

    def end_epoch(self, epoch: int, scores: torch.Tensor, active: torch.Tensor, density: float) -> torch.Tensor:
        """(n,) bool: what of one group of one run is active after so many epochs; what was not stays so.

        Args:
            epoch: how many are finished.
            scores, active: (n,), on the CPU.
            density: that this run asks for.
        """
        ...
