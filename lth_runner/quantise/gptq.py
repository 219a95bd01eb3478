"""Rounding where later columns take up the errors of earlier ones: GPTQ, with any scalar code."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.construct.compensation import Compensation, check_training_inputs, compensated
from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.networks.levels import Levels
from lth_runner.networks.scalar_code import matrix_shape
from lth_runner.problem import Found, Problem
from lth_runner.quantise.scalar import Grid, Rounder, rotated_with
from lth_runner.quantise.ticket import Encoded, check_quantised, quantise_with_inputs
from lth_runner.resources import CORES, Resources


@dataclass(frozen=True, kw_only=True)
class GPTQ:
    """For every layer a small sum over its calibration inputs x of |(W - Q) x|^2, Q in a scalar code.

    Column by column the nearest level is taken, and the columns not yet rounded are moved to where they are best beside
    it: see `compensated`. Weights that no calibration input reaches, and those outside linear and convolutional layers,
    are rounded to nearest.

    Reference: arXiv:2210.17323. Differs from the paper: scales are chosen before anything is moved (its code calls that
    static groups), so that columns can go in any order without one more table; outliers may be stored, as a weight
    that the moves of earlier columns have changed.

    Attributes: see `Grid` and `Compensation`.
        rotate: whether inputs are rotated at random first, so that all weights look normal; see `RotatedCode`.
        stored: patterns of weight names that are stored as they are; biases and norms always are.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    levels: Levels
    scale: str
    group: int | None
    escape: float | None
    rotate: bool
    stored: list[str]
    compensation: Compensation

    def __post_init__(self) -> None:
        self._grid()
        checks.boolean("rotate", self.rotate)

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        check_training_inputs("inputs", data)
        check_quantised(network, self.stored)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The quantised network; see `Method.find`."""
        seed = problem.streams.seed

        def data_aware(weight: np.ndarray, moments: np.ndarray) -> Encoded:
            return rotated_with(self._data_aware, weight, moments, seed, self.rotate)

        def plain(name: str, weight: np.ndarray) -> Encoded:
            del name
            return self._grid().encode(weight)

        label = f"GPTQ, {self.levels.bits} bits"
        return quantise_with_inputs(problem, recorder, self.stored, label, self.compensation, data_aware, plain)

    def _data_aware(self, weight: np.ndarray, moments: np.ndarray) -> Encoded:
        return encode(weight, moments, self._grid(), self.compensation)

    def _grid(self) -> Grid:
        return Grid(levels=self.levels, scale=self.scale, group=self.group, escape=self.escape)


def encode(weight: np.ndarray, moments: np.ndarray, grid: Grid, settings: Compensation) -> Encoded:
    """A weight in code, its later columns taking up the errors of earlier ones.

    Args:
        moments: (groups, d, d) second moments of the inputs of each group of outputs; see `Replace`.
    """
    matrix = weight.reshape(matrix_shape(weight.shape))
    rounder = grid.prepare(weight)
    indices, current = np.zeros(matrix.shape, np.uint8), np.array(matrix, np.float64)
    each = len(matrix) // len(moments)
    for group, moment in enumerate(moments):
        rows = slice(group * each, (group + 1) * each)
        _round_columns_(rounder, rows, indices, current, moment, settings)
    return rounder.encoded(indices, current)


def _round_columns_(
    rounder: Rounder, rows: slice, indices: np.ndarray, current: np.ndarray, moments: np.ndarray, settings: Compensation
) -> None:
    """Fills these rows of `indices`, and of `current` with the weights as they were when they were rounded."""

    def choose(weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
        index = rounder.indices(weights, columns, rows)
        indices[rows, columns], current[rows, columns] = index, weights
        escaped = weights.astype(np.float16).astype(np.float64)
        return np.where(rounder.escaping[rows, columns], escaped, rounder.values(index, columns, rows))

    compensated(current[rows].copy(), moments, choose, block=1, order=settings.order, damping=settings.damping)
