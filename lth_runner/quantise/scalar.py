"""Rounding to the levels of a scalar code: scales per group of columns, outliers that escape, indices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.levels import Levels, nearest
from lth_runner.networks.rotated_code import RotatedCode, rotation
from lth_runner.networks.scalar_code import ScalarCode, matrix_shape
from lth_runner.quantise.ticket import Encoded

SCALES = ("range", "searched", "rms")
SHRINKS = np.linspace(1.0, 0.2, 81)  # fractions of the range that are tried, the whole first
ROBUST = 1.4826  # median of |x| times this is the standard deviation of normal numbers
ALL = slice(None)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How a matrix of weights is rounded.

    Attributes:
        levels: what weights divided by their scale are rounded to.
        scale: "range": a group's least and greatest weight, and 0, fit between the outermost levels; "searched": a
            share of that range, of 81 from 1 to 0.2 the one with the least squared error; "rms": the root mean square
            of the group, for levels that are made for N(0, 1).
        group: columns of a row that share a scale; None: the whole row does.
        escape: weights beyond so many robust standard deviations of their row are stored as they are, in float16, and
            have no part in scales; None: none.
    """

    levels: Levels
    scale: str
    group: int | None
    escape: float | None

    def __post_init__(self) -> None:
        checks.choice("scale", self.scale, SCALES)
        if self.group is not None:
            checks.integer("group", self.group, at_least=1)
        if self.escape is not None:
            checks.positive("escape", self.escape)
        if self.scale == "rms" and self.levels.has_zero_point:
            raise ConfigError("scale=rms is for levels around 0: set scale=searched, or other levels")

    def prepare(self, weight: np.ndarray) -> "Rounder":
        """The rounding of a tensor, with scales and escapes chosen from its own weights."""
        matrix = weight.reshape(matrix_shape(weight.shape))
        escaping = outliers(matrix, self.escape)
        scales, zeros = group_scales(np.where(escaping, 0.0, matrix), ~escaping, self)
        code = ScalarCode(levels=self.levels, group=self.group, escapes=int(escaping.sum()))
        return Rounder(code, scales, zeros, escaping)

    def encode(self, weight: np.ndarray) -> Encoded:
        """A tensor with every weight rounded by itself."""
        rounder, matrix = self.prepare(weight), weight.reshape(matrix_shape(weight.shape))
        return rounder.encoded(rounder.indices(matrix, np.arange(matrix.shape[1])), matrix)


def rotated(encode: Callable[[np.ndarray], Encoded], weight: np.ndarray, seed: int) -> Encoded:
    """The code of a tensor whose rows are rotated before they are encoded."""
    rows, columns = matrix_shape(weight.shape)
    found = encode(weight.reshape(rows, columns) @ rotation(seed, columns).T)
    return Encoded(RotatedCode(code=found.code), {**found.parts, "rotation": np.array([seed], np.int64)})


def rotated_with(
    encode: Callable[[np.ndarray, np.ndarray], Encoded],
    weight: np.ndarray,
    moments: np.ndarray,
    seed: int,
    rotate: bool,
) -> Encoded:
    """The same of a data-aware code, if `rotate`: the inputs' second moments (groups, d, d) are rotated too."""
    if not rotate:
        return encode(weight, moments)
    turn = rotation(seed, moments.shape[-1])
    turned = turn @ moments @ turn.T
    return rotated(lambda matrix: encode(matrix, turned), weight, seed)


class Rounder:
    """Rounding of the columns of one matrix, in any order, to scales that are fixed.

    Args:
        scales: (R, G) float16, 0 for groups of zeros.
        zeros: (R, G) uint8; None of levels around 0.
        escaping: (R, C) bool.
    """

    def __init__(self, code: ScalarCode, scales: np.ndarray, zeros: np.ndarray | None, escaping: np.ndarray) -> None:
        self.code, self.escaping = code, escaping
        self._scales, self._zeros = scales, zeros
        self._levels = code.levels.values()

    def indices(self, weights: np.ndarray, columns: np.ndarray, rows: slice = ALL) -> np.ndarray:
        """Of weights that stand in these rows and columns, the nearest levels, uint8."""
        scale, zero = self._at(columns, rows)
        return nearest(self._levels, weights / np.where(scale == 0, np.inf, scale) + zero)

    def values(self, indices: np.ndarray, columns: np.ndarray, rows: slice = ALL) -> np.ndarray:
        """What stands at these indices, float64; escapes are not looked at."""
        scale, zero = self._at(columns, rows)
        return scale * (self._levels[indices] - zero)

    def encoded(self, indices: np.ndarray, matrix: np.ndarray) -> Encoded:
        """The code of a matrix of indices.

        Args:
            matrix: (R, C) the weights of which those that escape are stored.
        """
        parts = {"indices": indices, "scales": self._scales}
        if self._zeros is not None:
            parts["zeros"] = self._zeros
        if self.code.escapes:
            places = np.flatnonzero(self.escaping)
            parts |= {"escape_places": places.astype(np.int32)}
            parts |= {"escape_values": matrix.reshape(-1)[places].astype(np.float16)}
        return Encoded(self.code, parts)

    def _at(self, columns: np.ndarray, rows: slice) -> tuple[np.ndarray, Any]:
        """Scales and zero points of places, float64 (rows, B), or (rows, 1) where a row has one; 0 without any."""
        which = columns // self.code.group if self.code.group else np.zeros(1, np.int64)
        zeros = 0.0 if self._zeros is None else self._zeros[rows, which].astype(np.float64)
        return self._scales[rows, which].astype(np.float64), zeros


def outliers(matrix: np.ndarray, escape: float | None) -> np.ndarray:
    """(R, C) bool: beyond `escape` robust standard deviations of their row; of a row that is mostly zeros none."""
    if escape is None:
        return np.zeros(matrix.shape, bool)
    spread_of = ROBUST * np.median(np.abs(matrix), axis=1, keepdims=True)
    return (np.abs(matrix) > escape * spread_of) & (spread_of > 0)


def group_scales(matrix: np.ndarray, counted: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray | None]:
    """Scales float16 (R, G) and zero points uint8 (R, G), or None where the levels have none.

    Args:
        counted: (R, C) which weights have a say.
    """
    columns = matrix.shape[1]
    size = grid.group or columns
    padding = ((0, 0), (0, -columns % size))
    groups, own = (np.pad(each, padding).reshape(len(matrix), -1, size) for each in (matrix, counted))  # (R, G, size)
    if grid.scale == "rms":
        total = np.maximum(own.sum(-1), 1)
        return np.sqrt((groups**2).sum(-1) / total).astype(np.float16), None
    fit = _asymmetric if grid.levels.has_zero_point else _symmetric
    if grid.scale == "range":
        return fit(groups, grid.levels, 1.0)
    return _least_error(groups, own, grid.levels, fit)


Fit = Callable[[np.ndarray, Levels, float], tuple[np.ndarray, np.ndarray | None]]


def _asymmetric(groups: np.ndarray, levels: Levels, share: float) -> tuple[np.ndarray, np.ndarray | None]:
    """The range with 0 in it, shrunk, on the whole numbers; 0 is one of the levels."""
    values = levels.values()
    low, high = share * np.minimum(groups.min(-1), 0), share * np.maximum(groups.max(-1), 0)
    scales = ((high - low) / (values[-1] - values[0])).astype(np.float16)
    zeros = np.rint(-low / np.where(scales == 0, np.inf, scales.astype(np.float64)))
    return scales, np.clip(zeros, 0, values[-1]).astype(np.uint8)


def _symmetric(groups: np.ndarray, levels: Levels, share: float) -> tuple[np.ndarray, np.ndarray | None]:
    """The largest weight, shrunk, on the nearer of the outermost levels."""
    values = levels.values()
    return (share * np.abs(groups).max(-1) / min(-values[0], values[-1])).astype(np.float16), None


def _least_error(groups: np.ndarray, own: np.ndarray, levels: Levels, fit: Fit) -> tuple[np.ndarray, np.ndarray | None]:
    """The shares of the range that are best, group by group."""
    best = np.full(groups.shape[:2], np.inf)
    scales, zeros = fit(groups, levels, 1.0)
    values = levels.values()
    for share in SHRINKS:
        tried, zero = fit(groups, levels, share)
        wide, shift = tried.astype(np.float64)[..., None], 0.0 if zero is None else zero[..., None].astype(np.float64)
        index = nearest(values, groups / np.where(wide == 0, np.inf, wide) + shift)
        error = (((values[index] - shift) * wide - groups) ** 2 * own).sum(-1)
        better = error < best
        best = np.where(better, error, best)
        scales = np.where(better, tried, scales)
        zeros = None if zero is None or zeros is None else np.where(better, zero, zeros)
    return scales, zeros
