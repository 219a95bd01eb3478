"""Paths chosen column by column, in networks twice as deep: weights take up the errors of those chosen before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lth_runner.construct.compensation import Compensation, compensated
from lth_runner.construct.paths import LayerTargets
from lth_runner.construct.second_moments import calibrated, replace_layers
from lth_runner.construct.sums import Paths, SumSolver
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.networks.layers import WeightLayer
from lth_runner.problem import Problem
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn


@dataclass(frozen=True, kw_only=True)
class ExpandedLayer:
    """One layer of the target, and what stands in its place.

    Attributes:
        layer: of the target; targets: its numbers.
        total: the random second weights.
        paths: from the layer's coordinates to them.
        gain: what multiplies the output.
        shares: how much the sums of one place, one or two, count in what stands for its weight.
    """

    layer: WeightLayer
    targets: LayerTargets
    total: Drawn
    paths: Paths
    gain: float
    shares: tuple[float, ...]


def compensated_paths(
    problem: Problem,
    layers: Sequence[ExpandedLayer],
    solver: SumSolver,
    settings: Compensation,
    recorder: Recorder,
    bar: Progress,
) -> dict[str, Mask]:
    """The second weights kept, by the names of the layers, as far as calibration inputs reach them.

    Inputs of both signs have sums of their own, for the same weight; their mean is what later weights make up for. Of
    inputs that are never negative it is the sum for positive ones. Biases are chosen as they are, and of layers that
    share a weight one is chosen so. All second weights of one layer are held at a time.

    Raises:
        ConfigError: there is nothing to calibrate on.
    """
    of_weight: Mapping[str, ExpandedLayer] = {each.layer.weight: each for each in reversed(layers)}
    masks: dict[str, Mask] = {}

    def choose(layer: WeightLayer, moments: np.ndarray) -> np.ndarray:
        columns = _Columns(of_weight[layer.weight], solver, problem.streams.seed, bar)
        masks[of_weight[layer.weight].layer.name], found = columns.chosen(moments, settings)
        return found

    unreached = replace_layers(problem, [each.layer for each in layers], settings, choose, calibrated(problem))
    for name in sorted(unreached):
        recorder.say(f"{name} gets no calibration input: its weights are chosen one by one")
    return masks


class _Columns:
    """The second weights of one layer, and those kept so far."""

    def __init__(self, expanded: ExpandedLayer, solver: SumSolver, seed: int, bar: Progress) -> None:
        self._expanded, self._solver, self._bar = expanded, solver, bar
        self._groups = expanded.layer.groups
        width, taps = expanded.paths.first.shape[1], expanded.targets.weight.shape[2]
        whole = expanded.total.draw(seed)
        self._second = whole.reshape(len(whole), -1, width, taps)  # (out, coordinates that an output sees, width, taps)
        self._kept = np.zeros(self._second.shape, bool)

    def chosen(self, moments: np.ndarray, settings: Compensation) -> tuple[Mask, np.ndarray]:
        """The mask of the second weights, and the sums that stand for the layer's weight, in its shape.

        Args:
            moments: (groups, columns, columns).
        """
        layer, targets = self._expanded.layer, self._expanded.targets
        inputs = layer.inputs // self._groups
        matrix = targets.weight[:, :inputs].reshape(layer.outputs, -1)
        found, each = np.empty(matrix.shape), layer.outputs // self._groups
        for group, own in enumerate(moments):
            rows = slice(group * each, (group + 1) * each)
            choose = partial(self._column, rows, self._expanded.paths.of_group(group, self._groups))
            found[rows] = compensated(
                matrix[rows], own, choose, block=1, order=settings.order, damping=settings.damping
            )
        for coordinate, tap in zip(targets.coordinate, targets.tap, strict=True):
            if coordinate == inputs:  # the constant that stands for the bias
                self._place(slice(None), self._expanded.paths, coordinate, tap, targets.weight[:, coordinate, tap])
        return Mask.pack(self._kept.reshape(self._expanded.total.shape)), found.reshape(layer.part.weight.shape)

    def _column(self, rows: slice, paths: Paths, current: np.ndarray, columns: np.ndarray) -> np.ndarray:
        coordinate, tap = divmod(int(columns[0]), self._second.shape[3])
        return self._place(rows, paths, coordinate, tap, current[:, 0])[:, None]

    def _place(self, rows: slice, paths: Paths, coordinate: int, tap: int, sought: np.ndarray) -> np.ndarray:
        """(rows,) what the paths kept for one place of the layer multiply its input with."""
        gain, sums = self._expanded.gain, []
        for usable in paths.usable:
            neurons = np.flatnonzero(usable[coordinate])
            if not neurons.size:  # the constant has no negative half; neurons of one sign may be missing
                sums.append(np.zeros(len(sought)))
                continue
            values = self._second[rows, coordinate, neurons, tap] * paths.first[coordinate, neurons]
            kept = self._solver.solve(values, sought / gain, gain).chosen
            self._kept[rows, coordinate, neurons, tap] = kept
            sums.append(gain * np.where(kept, values, 0.0).sum(axis=1))
            self._bar.advance(len(sought))
        return np.tensordot(self._expanded.shares, sums, axes=1)
