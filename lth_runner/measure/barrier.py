"""How much worse than its ends the straight line between two networks is: linear mode connectivity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lth_runner.core.recorder import Bars, no_bars
from lth_runner.data.interface import Inputs, split
from lth_runner.measure.accuracy import accuracy
from lth_runner.networks.layers import BATCH_NORMS

Tensors = Mapping[str, torch.Tensor]
Part = tuple[Inputs, torch.Tensor]  # inputs (N, ...) and labels (N,)

BATCH = 2048  # samples per forward pass


@dataclass(frozen=True, kw_only=True)
class Line:
    """Error along the straight line between two networks.

    Attributes:
        errors: fraction of samples that are wrong, at evenly spaced points from the first network to the second.
    """

    errors: tuple[float, ...]

    @property
    def ends(self) -> float:
        """The mean error of the two networks."""
        return (self.errors[0] + self.errors[-1]) / 2

    @property
    def barrier(self) -> float:
        """The largest error on the line minus the mean of its ends, never negative.

        Reference: arXiv:1912.05671, section 2, where two networks are stable if it is below 0.02.
        """
        return max(self.errors) - self.ends


@torch.no_grad()
def lines(
    module: torch.nn.Module,
    first: Tensors,
    second: Tensors,
    parts: Mapping[str, Part],
    points: int,
    statistics: Inputs | None = None,
    bars: Bars = no_bars,
) -> dict[str, Line]:
    """The errors on the line from `first` to `second`, on every part.

    Batch norms gather their statistics anew at every point, the ends included: those between two networks are not the
    statistics of the network between them.

    Args:
        module: any of this architecture; its values and its mode are changed.
        first, second: parameters and buffers by name.
        parts: what errors are measured on, by name.
        points: 2 or more, the ends included.
        statistics: inputs that batch norms gather them from.
    """
    found: dict[str, list[float]] = {name: [] for name in parts}
    with bars("line between two networks", points) as bar:
        for k in range(points):
            _fill(module, first, second, k / (points - 1))
            if statistics is not None:
                _gather(module, statistics)
            for name, (inputs, labels) in parts.items():
                found[name].append(1 - accuracy(module, inputs, labels, BATCH))
            bar.advance(1)
    return {name: Line(errors=tuple(errors)) for name, errors in found.items()}


def _fill(module: torch.nn.Module, first: Tensors, second: Tensors, share: float) -> None:
    """Puts (1 - share) first + share second into the module; buffers of whole numbers stay those of the first."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        one, two = (given[name].to(tensor.device) for given in (first, second))
        tensor.copy_(torch.lerp(one, two, share) if one.is_floating_point() else one)


def _gather(module: torch.nn.Module, inputs: Inputs) -> None:
    """Sets the statistics of all batch norms to the means over these inputs, each batch counting alike."""
    norms: list[Any] = [part for part in module.modules() if isinstance(part, BATCH_NORMS) and part.track_running_stats]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for block in split(inputs, BATCH):
        module(block)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    module.eval()
