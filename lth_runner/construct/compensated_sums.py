"""Sums chosen column by column: weights of a row take up the errors of those chosen before."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from lth_runner.construct.compensation import COMPENSATE, Compensation, compensated
from lth_runner.construct.second_moments import calibrated, replace_layers
from lth_runner.construct.substitution import Masks, Substitution, masks_one_by_one
from lth_runner.core import checks
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.problem import Problem
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn


def masks_by(compensate: str, settings: Compensation) -> Masks:
    """The way through the tensors that the setting `compensate` asks for."""
    checks.choice("compensate", compensate, COMPENSATE)
    return partial(compensated_masks, settings=settings) if compensate == "inputs" else masks_one_by_one


def compensated_masks(
    problem: Problem,
    drawn: Mapping[str, Drawn],
    work: Substitution,
    recorder: Recorder,
    bar: Progress,
    *,
    settings: Compensation,
) -> dict[str, Mask]:
    """The numbers kept for each weight; see `compensated`.

    What belongs to no weight layer (biases, parameters used by hand) is chosen as it is, before the layers. All numbers
    on offer for one layer are held at a time.

    Raises:
        ConfigError: there is nothing to calibrate on.
    """
    network, target = problem.need("network", "target")
    layers = [layer for layer in weight_layers(network) if layer.weight in drawn]
    within = {layer.weight for layer in layers}
    masks = {name: work.mask(drawn[name], target[name], bar) for name in drawn if name not in within}
    known = {name: _sums(drawn[name], mask, problem.streams.seed) for name, mask in masks.items()}
    module = calibrated(replace(problem, target={**target, **known}))

    def choose(layer: WeightLayer, moments: np.ndarray) -> np.ndarray:
        weight = target[layer.weight]
        columns = _Columns(drawn[layer.weight], weight.shape, problem.streams.seed, work, bar)
        masks[layer.weight], found = columns.chosen(weight, moments, settings)
        return found

    for name in sorted(replace_layers(problem, layers, settings, choose, module)):
        recorder.say(f"{name} gets no calibration input: its weights are chosen one by one")
        masks[name] = work.mask(drawn[name], target[name], bar)
    return {name: masks[name] for name in drawn}


def _sums(drawn: Drawn, mask: Mask, seed: int) -> np.ndarray:
    return drawn.masked(drawn.draw(seed), mask.dense()).sum(-1)


class _Columns:
    """The random numbers of one layer, and those kept so far."""

    def __init__(self, drawn: Drawn, shape: tuple[int, ...], seed: int, work: Substitution, bar: Progress) -> None:
        self._drawn, self._work, self._bar = drawn, work, bar
        whole = np.broadcast_to(drawn.draw(seed), (*shape, drawn.shape[-1]))
        self._values = whole.reshape(shape[0], -1, drawn.shape[-1])  # (out, columns, n)
        self._kept = np.zeros(self._values.shape, bool)

    def chosen(self, weight: np.ndarray, moments: np.ndarray, settings: Compensation) -> tuple[Mask, np.ndarray]:
        """The mask of the layer, and the sums that stand for its weight, in its shape.

        Args:
            moments: (groups, columns, columns).
        """
        matrix = weight.reshape(len(weight), -1)
        found = np.empty(matrix.shape)
        rows_each = len(matrix) // len(moments)
        for group, own in enumerate(moments):
            rows = slice(group * rows_each, (group + 1) * rows_each)
            choose = partial(self._choose, rows)
            found[rows] = compensated(
                matrix[rows], own, choose, block=1, order=settings.order, damping=settings.damping
            )
        return Mask.pack(self._kept.reshape(*weight.shape, -1)), found.reshape(weight.shape)

    def _choose(self, rows: slice, current: np.ndarray, columns: np.ndarray) -> np.ndarray:
        values = self._values[rows, columns[0]]  # (out, n)
        kept = self._kept[rows, columns[0]] = self._work.solve(values, current[:, 0])
        self._bar.advance(len(current))
        return self._drawn.masked(values, kept).sum(-1, keepdims=True)
