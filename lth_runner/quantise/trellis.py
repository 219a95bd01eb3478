"""Trellis codes: the best walk through random values for each column, found exactly, errors fed back to later ones."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from lth_runner.construct.compensation import COMPENSATE, Compensation, check_training_inputs, compensated
from lth_runner.core import checks
from lth_runner.core.compiled import compiled
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.networks.scalar_code import matrix_shape
from lth_runner.networks.trellis_code import TrellisCode
from lth_runner.problem import Found, Problem
from lth_runner.quantise.scalar import rotated, rotated_with
from lth_runner.quantise.ticket import Encoded, check_quantised, quantise, quantise_with_inputs
from lth_runner.resources import CORES, Resources


@dataclass(frozen=True, kw_only=True)
class Trellis:
    """Each column is the walk through a trellis of random values that is nearest to it; see `TrellisCode`.

    The walk is found exactly (Viterbi), column by column; with compensation later columns take up the errors of earlier
    ones.

    Reference: QTIP, arXiv:2406.11235. Differs from the paper: see `TrellisCode`; inputs alone are rotated, if at all.

    Attributes:
        bits: of a weight.
        register: bits of a state: 2^register values; time grows in proportion to these.
        factor: standard deviation of the values over that of the row's weights.
        rotate: whether rows are rotated at random first, so that all weights look normal; see `RotatedCode`.
        stored: patterns of weight names that are stored as they are; biases and norms always are.
        compensate: "inputs": columns take up the errors of those chosen before; "none".
        compensation: how.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    bits: int
    register: int
    factor: float
    rotate: bool
    stored: list[str]
    compensate: str
    compensation: Compensation

    def __post_init__(self) -> None:
        TrellisCode(bits=self.bits, register=self.register, walk=1)
        checks.positive("factor", self.factor)
        checks.boolean("rotate", self.rotate)
        checks.choice("compensate", self.compensate, COMPENSATE)

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        check_training_inputs(self.compensate, data)
        check_quantised(network, self.stored)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The quantised network; see `Method.find`."""
        seed, label = problem.streams.seed, f"trellis, {self.bits} bits"

        def plain(name: str, weight: np.ndarray) -> Encoded:
            del name
            return rotated(self.plain, weight, seed) if self.rotate else self.plain(weight)

        def data_aware(weight: np.ndarray, moments: np.ndarray) -> Encoded:
            return rotated_with(self.data_aware, weight, moments, seed, self.rotate)

        if self.compensate == "none":
            return quantise(problem, recorder, self.stored, label, plain)
        return quantise_with_inputs(problem, recorder, self.stored, label, self.compensation, data_aware, plain)

    def plain(self, weight: np.ndarray) -> Encoded:
        """The nearest walk of each column."""
        matrix = weight.reshape(matrix_shape(weight.shape))
        walks = _Walks(self, matrix, 1)
        walks.choose(matrix, np.arange(matrix.shape[1]), slice(None))
        return walks.encoded()

    def data_aware(self, weight: np.ndarray, moments: np.ndarray) -> Encoded:
        """Walks of which later ones take up the errors of earlier ones, group by group of the outputs."""
        matrix, how = weight.reshape(matrix_shape(weight.shape)), self.compensation
        walks, each = _Walks(self, matrix, len(moments)), len(matrix) // len(moments)
        for group, moment in enumerate(moments):
            rows = slice(group * each, (group + 1) * each)
            choose = partial(walks.choose, rows=rows)
            compensated(matrix[rows], moment, choose, block=1, order=how.order, damping=how.damping)
        return walks.encoded()


class _Walks:
    """The walks of one matrix, chosen in any order.

    Args:
        groups: of rows, each with walks of its own.
    """

    def __init__(self, method: Trellis, matrix: np.ndarray, groups: int) -> None:
        self._code = TrellisCode(bits=method.bits, register=method.register, walk=len(matrix) // groups)
        self._scales = (method.factor * np.sqrt(np.mean(matrix**2, axis=1, keepdims=True))).astype(np.float16)
        self._indices = np.zeros(matrix.shape, np.uint8)
        self._starts = np.zeros((groups, matrix.shape[1]), np.uint16)

    def choose(self, current: np.ndarray, columns: np.ndarray, rows: slice) -> np.ndarray:
        """The walks (rows, B) nearest to weights that stand in these columns."""
        scales = self._scales[rows].astype(np.float64)
        numbers = np.ascontiguousarray(current.T)
        indices, found, starts = nearest_walks(numbers, scales[:, 0], self._code.values(), self._code.bits)
        self._indices[rows, columns] = indices.T
        self._starts[(rows.start or 0) // self._code.walk, columns] = starts
        return found.T * scales

    def encoded(self) -> Encoded:
        """All of them."""
        return Encoded(self._code, {"indices": self._indices, "scales": self._scales, "starts": self._starts})


@compiled(nogil=True)
def nearest_walks(
    numbers: np.ndarray, scales: np.ndarray, values: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each line the walk of least squared error, by dynamic programming over states.

    Args:
        numbers: (N, T) float64.
        scales: (T,) float64, what values are multiplied with.
        values: (S,) float64, of states.

    Returns:
        indices (N, T) uint8, the values (N, T) there, and the states (N,) before the first of them.
    """
    lines, steps = numbers.shape
    indices, found, starts = np.empty((lines, steps), np.uint8), np.empty((lines, steps)), np.empty(lines, np.int64)
    size, choices = values.size, 1 << bits
    groups = size // choices  # states that differ in their last index alone have the same predecessors
    single = values.astype(np.float32)
    cost, then = np.empty(size, np.float32), np.empty(size, np.float32)
    came = np.zeros((steps, groups), np.uint8)
    for line in range(lines):
        cost[:] = 0
        for t in range(steps):
            number, scale = np.float32(numbers[line, t]), np.float32(scales[t])
            for g in range(groups):
                least, best = cost[g], 0
                for j in range(1, choices):
                    if cost[g + j * groups] < least:
                        least, best = cost[g + j * groups], j
                came[t, g] = best
                for s in range(g * choices, (g + 1) * choices):
                    error = scale * single[s] - number
                    then[s] = least + error * error
            cost, then = then, cost
        state = int(np.argmin(cost))
        for t in range(steps - 1, -1, -1):
            indices[line, t], found[line, t] = state % choices, values[state]
            state = state // choices + came[t, state // choices] * groups
        starts[line] = state
    return indices, found, starts
