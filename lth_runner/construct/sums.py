"""Sums sought layer by layer: second weights drawn by blocks of outputs, subsets chosen, masks packed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lth_runner.construct.paths import LayerTargets
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.subset_sum.interface import Status, Subsets
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn

BLOCK = 1 << 17  # instances solved at a time, but never fewer than those of eight outputs: bounds memory
EIGHT = 8  # outputs per step: whatever the width, their masks fill whole bytes

Choose = Callable[[np.ndarray, np.ndarray, float], Subsets]  # values (B, m), targets (B,), epsilon -> answers


def warn_of_unsolved(label: str, unsolved: int, total: int, recorder: Recorder) -> None:
    """Says what a solver left undone, in one sentence; nothing where that is nothing."""
    if unsolved:
        recorder.say(
            f"warning: {label}: the solver left {unsolved:,} of {total:,} sums unsolved, and these are empty, so 0: "
            "exact search (method/solver=meet_in_middle) gives the closest there are"
        )


@dataclass(frozen=True, kw_only=True)
class Paths:
    """The hidden neurons between one target layer's coordinates and the random tensor that sums them up.

    Attributes:
        first: (coordinates, width) what a neuron multiplies its coordinate with.
        usable: per sign of the input in use, (coordinates, width) bool.
        neurons_last: whether the tensor's second axis counts the neurons of coordinate 0 first, then those of
            coordinate 1 (True), or the first neuron of every coordinate, then the second of each (False).
    """

    first: np.ndarray
    usable: list[np.ndarray]
    neurons_last: bool

    def of_group(self, group: int, groups: int) -> "Paths":
        """Those that the outputs of one group of a convolution see."""
        count = len(self.first) // groups
        own = slice(group * count, (group + 1) * count)
        return Paths(first=self.first[own], usable=[each[own] for each in self.usable], neurons_last=self.neurons_last)


class SumSolver:
    """Solves layer after layer and adds up what it took."""

    def __init__(self, seed: int, epsilon: float, choose: Choose) -> None:
        self.solve_time, self.unsolved = 0.0, 0
        self._seed, self._epsilon, self._choose = seed, epsilon, choose

    def mask(
        self, total: Drawn, paths: Paths, targets: LayerTargets, gain: float, bar: Progress, groups: int = 1
    ) -> Mask:
        """Which second weights are kept, so that gain * (sum of kept b a) is close to each target number."""
        rows = total.shape[0] // groups
        parts = [
            self._kept(
                total, paths.of_group(group, groups), targets, gain, bar, range(group * rows, (group + 1) * rows)
            )
            for group in range(groups)
        ]
        if groups > 1:  # the rows of a group need not fill whole bytes
            return Mask.pack(np.concatenate([kept for part in parts for kept in part]).reshape(total.shape))
        bits, start = np.zeros(-(-int(np.prod(total.shape)) // 8), np.uint8), 0
        for kept in parts[0]:
            packed = np.packbits(kept)
            bits[start : start + packed.size] = packed
            start += packed.size
        return Mask(total.shape, bits)

    def _kept(
        self, total: Drawn, paths: Paths, targets: LayerTargets, gain: float, bar: Progress, outputs: range
    ) -> Iterator[np.ndarray]:
        """The mask of some outputs, a multiple of eight at a time: (rows, ...) bool."""
        batches = [batch for usable in paths.usable for batch in targets.batches(usable)]
        for rows, second in self._blocks(total, paths, len(targets.coordinate), outputs):
            kept = np.zeros(second.shape, bool)
            chosen = kept if paths.neurons_last else kept.swapaxes(1, 2)
            second = second if paths.neurons_last else second.swapaxes(1, 2)
            for batch in batches:
                coordinate = batch.coordinate[:, None]
                where = (slice(None), coordinate, batch.neurons, batch.tap[:, None])
                values = second[where] * paths.first[coordinate, batch.neurons]  # (rows, P, m)
                sought = targets.weight[rows][:, batch.coordinate, batch.tap] / gain
                answer = self.solve(values.reshape(-1, values.shape[2]), sought.ravel(), gain)
                chosen[where] = answer.chosen.reshape(values.shape)
                bar.advance(sought.size)
            yield kept

    def solve(self, values: np.ndarray, targets: np.ndarray, gain: float) -> Subsets:
        """Subsets of B rows of products (B, m) whose sums, times the gain, are to be the targets times the gain."""
        started = time.perf_counter()
        answer = self._choose(values, targets, self._epsilon / gain)
        self.solve_time += time.perf_counter() - started
        self.unsolved += int(np.count_nonzero(answer.status == Status.UNSOLVED))
        return answer

    def _blocks(self, total: Drawn, paths: Paths, pairs: int, outputs: range) -> Iterator[tuple[slice, np.ndarray]]:
        """Outputs, a multiple of eight at a time, and their second weights, in the order of `neurons_last`."""
        per_row = int(np.prod(total.shape[1:]))
        hidden = paths.first.shape if paths.neurons_last else paths.first.shape[::-1]
        step = EIGHT * max(1, BLOCK // (EIGHT * pairs))
        for start in range(outputs.start, outputs.stop, step):
            count = min(step, outputs.stop - start)
            drawn = total.draw(self._seed, start * per_row, count * per_row)
            yield slice(start, start + count), drawn.reshape(count, *hidden, -1)
