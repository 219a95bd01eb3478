"""Greedy forward selection: the mean of a few hidden neurons of a two-layer network, chosen one by one.

A two-layer network is f(x) = bias + sum_i a_i s_i(x), with a_i = 1/N for the whole of its N neurons. A selection begins
empty and moves by one neuron at a time: a becomes (1 - g) a + g e_j, with g = 1/(n+1) at addition n (from 0), which
keeps a the mean of what was added, or with the g that fits best. Every candidate changes the outputs by a matrix of
rank one, so all are tried together.

Reference: arXiv:2003.01794 (the loss on labels) and its follow-up on imitation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

BLOCK = 1 << 19  # logits of candidates at a time: 4 MB
BISECTIONS = 50  # of a step in [0, 1]: to the last bits of float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Neurons:
    """What every hidden neuron gives on some images: s_i(x) = hidden[x, i] * outgoing[i].

    Attributes:
        hidden: (M, N) float64, activations.
        outgoing: (N, K) float64: the second layer's weights, transposed, times N.
        bias: (K,) float64, of the second layer; every selection has it.
    """

    hidden: torch.Tensor
    outgoing: torch.Tensor
    bias: torch.Tensor

    @property
    def count(self) -> int:
        return len(self.outgoing)

    def sums(self, weights: torch.Tensor) -> torch.Tensor:
        """sum_i a_i s_i of weights (N,), for every image: (M, K), without the bias."""
        return (self.hidden * weights) @ self.outgoing

    def whole(self) -> torch.Tensor:
        """The sums of the whole network."""
        return self.sums(torch.full((self.count,), 1 / self.count, dtype=torch.float64))

    def of(self, j: int) -> torch.Tensor:
        """s_j: (M, K)."""
        return self.hidden[:, j, None] * self.outgoing[j]


class Objective(Protocol):
    """What a selection is chosen for. Sums are (M, K), without the bias."""

    def loss(self, sums: torch.Tensor) -> float:
        """Of one selection."""
        ...

    def candidates(self, sums: torch.Tensor, step: float) -> torch.Tensor:
        """The losses (N,) after each neuron was added with this step."""
        ...

    def fitted(self, sums: torch.Tensor, step: float) -> tuple[torch.Tensor, Callable[[int], float]]:
        """By what (N,) to choose a neuron whose step is then searched, the least is the best; and that step, of one.

        Args:
            step: of equal weights.
        """
        ...


class Squares:
    """The mean over images of the squared distance to the sums of a network: its second layer is imitated."""

    def __init__(self, neurons: Neurons, target: torch.Tensor) -> None:
        self._neurons, self._target = neurons, target
        self._norms = neurons.hidden.square().sum(0) * neurons.outgoing.square().sum(1)  # |s_j|^2: (N,)

    def loss(self, sums: torch.Tensor) -> float:
        return float((sums - self._target).square().sum()) / len(sums)

    def candidates(self, sums: torch.Tensor, step: float) -> torch.Tensor:
        rest = (1 - step) * sums - self._target
        return (rest.square().sum() + 2 * step * self._products(rest) + step**2 * self._norms) / len(sums)

    def fitted(self, sums: torch.Tensor, step: float) -> tuple[torch.Tensor, Callable[[int], float]]:
        """Every neuron at its own best step, -<rest, d_j> / |d_j|^2 with d_j = s_j - sums."""
        del step
        rest = sums - self._target
        lengths = self._norms - 2 * self._products(sums) + sums.square().sum()
        falls = self._products(rest) - (rest * sums).sum()
        steps = torch.where(lengths > 0, -falls / lengths, 0).clamp(0, 1)
        losses = rest.square().sum() + 2 * steps * falls + steps.square() * lengths
        return losses / len(sums), lambda j: float(steps[j])

    def _products(self, sums: torch.Tensor) -> torch.Tensor:
        """<sums, s_j> over images and outputs: (N,)."""
        return (self._neurons.hidden.T @ sums * self._neurons.outgoing).sum(1)


class CrossEntropy:
    """The mean cross-entropy to target probabilities (M, K), less their entropy: 0 where they are met.

    One-hot probabilities are labels; those of a network make it the divergence of the selection from that network.
    """

    def __init__(self, neurons: Neurons, target: torch.Tensor) -> None:
        self._neurons, self._target = neurons, target
        self._entropy = float(torch.special.entr(target).sum()) / len(target)

    def loss(self, sums: torch.Tensor) -> float:
        logits = sums + self._neurons.bias
        return float((logits.logsumexp(1) - (self._target * logits).sum(1)).mean()) - self._entropy

    def candidates(self, sums: torch.Tensor, step: float) -> torch.Tensor:
        neurons, logits = self._neurons, (1 - step) * sums + self._neurons.bias
        met = (self._target * logits).sum() + step * (neurons.hidden.T @ self._target * neurons.outgoing).sum(1)
        block = max(1, BLOCK // logits.numel())
        parts = [
            (logits[:, None] + step * hidden[:, :, None] * outgoing).logsumexp(2).sum(0)  # (M, block, K) -> (block,)
            for hidden, outgoing in zip(neurons.hidden.split(block, 1), neurons.outgoing.split(block), strict=True)
        ]
        return (torch.cat(parts) - met) / len(sums) - self._entropy

    def fitted(self, sums: torch.Tensor, step: float) -> tuple[torch.Tensor, Callable[[int], float]]:
        """Chosen at the step of equal weights; then its own step, since the loss is convex along it."""
        return self.candidates(sums, step), lambda j: self._searched(sums, j)

    def _searched(self, sums: torch.Tensor, j: int) -> float:
        towards, low, high = self._neurons.of(j) - sums, 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            slope = ((sums + middle * towards + self._neurons.bias).softmax(1) - self._target) * towards
            low, high = (low, middle) if float(slope.sum()) > 0 else (middle, high)
        return low


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Additions, in their order.

    Attributes:
        order: (n,) int64, the neuron of each addition.
        steps: (n,) float64, how far each one moved towards its neuron; the first is 1.
        losses: (n,) float64, after each addition.
    """

    order: np.ndarray
    steps: np.ndarray
    losses: np.ndarray

    def weights(self, additions: int, count: int) -> np.ndarray:
        """The weights (N,) after so many additions: 0 or more, their sum is 1."""
        found = np.zeros(count)
        for j, step in zip(self.order[:additions], self.steps[:additions], strict=True):
            found *= 1 - step
            found[j] += step
        return found


def greedy(
    neurons: Neurons,
    objective: Objective,
    additions: int,
    *,
    repeats: bool,
    line_search: bool,
    done: Callable[[float], object],
) -> Selection:
    """Adds the neuron that makes the loss least, so many times; of equal ones the first.

    Args:
        additions: at most N without repeats.
        repeats: whether a neuron can be added again.
        line_search: whether a neuron is added with the step that fits best, and not as one of a mean.
        done: told of every loss.
    """
    sums = torch.zeros(len(neurons.hidden), len(neurons.bias), dtype=torch.float64)
    order, steps, losses = np.zeros(additions, dtype=np.int64), np.ones(additions), np.zeros(additions)
    taken = torch.zeros(neurons.count, dtype=torch.bool)
    for n in range(additions):
        step = 1 / (n + 1)
        searched = line_search and n > 0  # from nothing there is no way but to the whole neuron
        ranks, own_step = objective.fitted(sums, step) if searched else (objective.candidates(sums, step), None)
        j = int(ranks.masked_fill(taken, torch.inf).argmin())
        step = own_step(j) if own_step else step
        sums = (1 - step) * sums + step * neurons.of(j)
        taken[j] = not repeats
        order[n], steps[n], losses[n] = j, step, objective.loss(sums)
        done(losses[n])
    return Selection(order=order, steps=steps, losses=losses)


def in_order(neurons: Neurons, objective: Objective, order: np.ndarray) -> Selection:
    """The selection that adds these neurons as members of a mean."""
    steps, losses = 1 / np.arange(1, len(order) + 1), np.zeros(len(order))
    sums = torch.zeros(len(neurons.hidden), len(neurons.bias), dtype=torch.float64)
    for n, j in enumerate(order):
        sums = (1 - steps[n]) * sums + steps[n] * neurons.of(int(j))
        losses[n] = objective.loss(sums)
    return Selection(order=order, steps=steps, losses=losses)
