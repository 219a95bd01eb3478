"""Sums sought layer by layer: second weights drawn by blocks of outputs, subsets chosen, masks packed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lth_runner.construct.paths import Wanted
from lth_runner.core.recorder import Progress
from lth_runner.subset_sum.interface import Status, Subsets
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor

BLOCK = 1 << 17  # instances solved at a time, but never fewer than those of eight outputs: bounds memory
EIGHT = 8  # outputs per step: whatever the width, their masks fill whole bytes

Choose = Callable[[np.ndarray, np.ndarray, float], Subsets]  # values (B, m), targets (B,), epsilon -> answers


@dataclass(frozen=True, kw_only=True)
class Paths:
    """The hidden neurons between one target layer's coordinates and the random tensor that sums them up.

    Attributes:
        first: (coordinates, width) what a neuron multiplies its coordinate with.
        serves: per sign of the input in use, (coordinates, width) bool.
        neurons_last: whether the tensor's second axis counts the neurons of coordinate 0 first, then those of
            coordinate 1 (True), or the first neuron of every coordinate, then the second of each (False).
    """

    first: np.ndarray
    serves: list[np.ndarray]
    neurons_last: bool


class Search:
    """Solves layer after layer and adds up what it took."""

    def __init__(self, seed: int, epsilon: float, choose: Choose) -> None:
        self.solve_time, self.unsolved = 0.0, 0
        self._seed, self._epsilon, self._choose = seed, epsilon, choose

    def mask(self, total: RandomTensor, paths: Paths, wanted: Wanted, gain: float, bar: Progress) -> Mask:
        """Which second weights are kept, so that gain * (sum of kept b a) is close to each wanted number."""
        groups = [group for serves in paths.serves for group in wanted.groups(serves)]
        bits = np.zeros(-(-int(np.prod(total.shape)) // 8), np.uint8)
        for rows, second in self._blocks(total, paths, len(wanted.coordinate)):
            kept = np.zeros(second.shape, bool)
            chosen = kept if paths.neurons_last else kept.swapaxes(1, 2)
            second = second if paths.neurons_last else second.swapaxes(1, 2)
            for group in groups:
                coordinate = group.coordinate[:, None]
                where = (slice(None), coordinate, group.neurons, group.tap[:, None])
                values = second[where] * paths.first[coordinate, group.neurons]  # (rows, P, m)
                targets = wanted.weight[rows][:, group.coordinate, group.tap] / gain
                answer = self._solve(values.reshape(-1, values.shape[2]), targets.ravel(), gain)
                chosen[where] = answer.chosen.reshape(values.shape)
                bar.advance(targets.size)
            start = rows.start * kept[0].size // 8
            bits[start : start - (-kept.size // 8)] = np.packbits(kept)
        return Mask(total.shape, bits)

    def _solve(self, values: np.ndarray, targets: np.ndarray, gain: float) -> Subsets:
        started = time.perf_counter()
        answer = self._choose(values, targets, self._epsilon / gain)
        self.solve_time += time.perf_counter() - started
        self.unsolved += int(np.count_nonzero(answer.status == Status.UNSOLVED))
        return answer

    def _blocks(self, total: RandomTensor, paths: Paths, pairs: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Outputs, a multiple of eight at a time, and their second weights, in the order of `neurons_last`."""
        outputs, per_row = total.shape[0], int(np.prod(total.shape[1:]))
        hidden = paths.first.shape if paths.neurons_last else paths.first.shape[::-1]
        step = EIGHT * max(1, BLOCK // (EIGHT * pairs))
        for start in range(0, outputs, step):
            count = min(step, outputs - start)
            drawn = total.draw(self._seed, start * per_row, count * per_row)
            yield slice(start, start + count), drawn.reshape(count, *hidden, -1)
