"""Every weight rounded by itself to the nearest level of its group: the plainest of all quantisers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture
from lth_runner.networks.levels import Levels
from lth_runner.problem import Found, Problem
from lth_runner.quantise.scalar import Grid, rotated
from lth_runner.quantise.ticket import Encoded, check_quantised, quantise
from lth_runner.resources import CORES, Resources


@dataclass(frozen=True, kw_only=True)
class RoundToNearest:
    """w ~ scale * (levels[index] - zero point), with the nearest level and a float16 scale per group of columns.

    With whole levels this is what is called round to nearest, with those of NF4 bitsandbytes' 4-bit format, with those
    of Lloyd and Max the best scalar code for normal weights.

    Reference: for NF4 QLoRA, arXiv:2305.14314. Differs from the paper: scales are float16 and not quantised again.

    Attributes: see `Grid`.
        rotate: whether rows are rotated at random first, so that all weights look normal; see `RotatedCode`.
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

    def __post_init__(self) -> None:
        self._grid()
        checks.boolean("rotate", self.rotate)

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        del data
        check_quantised(network, self.stored)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The quantised network; see `Method.find`."""
        grid = self._grid()

        def encode(name: str, weight: np.ndarray) -> Encoded:
            del name
            return rotated(grid.encode, weight, problem.streams.seed) if self.rotate else grid.encode(weight)

        return quantise(problem, recorder, self.stored, f"{self.levels.bits} bits, to the nearest", encode)

    def _grid(self) -> Grid:
        return Grid(levels=self.levels, scale=self.scale, group=self.group, escape=self.escape)
