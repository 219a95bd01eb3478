"""Weights as indices of levels, with a scale per group of columns, and some weights that stand there as they are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import DataError
from lth_runner.networks.levels import Levels

Shape = tuple[int, ...]
Parts = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class ScalarCode:
    """w = scale * (levels[index] - zero point), and what escapes is stored in float16.

    A tensor (out, ...) is a matrix of `out` rows; its columns are grouped as they stand, the last group may be
    narrower. With R rows, C columns and G groups the parts are `indices` (R, C), `scales` (R, G) float16, where the
    levels have zero points `zeros` (R, G), and of E escapes `escape_places` (E,), increasing places in the flattened
    tensor, and `escape_values` (E,) float16.

    Attributes:
        levels: what indices stand for.
        group: columns of a row that share a scale; None: the whole row does.
        escapes: weights that stand there as they are.
    """

    kind: ClassVar[str] = "scalar_code"
    levels: Levels
    group: int | None
    escapes: int

    def __post_init__(self) -> None:
        if self.group is not None:
            checks.integer("group", self.group, at_least=1)
        checks.integer("escapes", self.escapes, at_least=0)

    def parts(self, shape: Shape) -> dict[str, tuple[Shape, type[np.generic]]]:
        """Shape and type of every part."""
        rows, columns = matrix_shape(shape)
        groups = (rows, -(-columns // (self.group or columns)))
        found: dict[str, tuple[Shape, type[np.generic]]] = {"indices": ((rows, columns), np.uint8)}
        found["scales"] = (groups, np.float16)
        if self.levels.has_zero_point:
            found["zeros"] = (groups, np.uint8)
        if self.escapes:
            found["escape_places"] = ((self.escapes,), np.int32)
            found["escape_values"] = ((self.escapes,), np.float16)
        return found

    def width(self, part: str, shape: Shape) -> int:
        """Bits that each entry of a part takes."""
        place = max(1, (math.prod(shape) - 1).bit_length())
        widths = {"indices": self.levels.bits, "zeros": self.levels.bits, "escape_places": place}
        return widths.get(part, 16)

    def decoded(self, parts: Parts, shape: Shape) -> np.ndarray:
        """The weights, float64.

        Raises:
            DataError: an index beyond the levels, or an escape outside the tensor.
        """
        columns, levels = matrix_shape(shape)[1], self.levels.values()
        check_whole("indices", parts["indices"], 0, levels.size - 1)
        found = levels[parts["indices"]]
        if self.levels.has_zero_point:
            found -= spread(parts["zeros"], self.group, columns)
        found *= spread(parts["scales"].astype(np.float64), self.group, columns)
        if self.escapes:
            check_whole("escapes", parts["escape_places"], 0, found.size - 1)
            found.reshape(-1)[parts["escape_places"]] = parts["escape_values"]
        return found.reshape(shape)


def matrix_shape(shape: Shape) -> tuple[int, int]:
    """Rows and columns of a tensor whose first axis are its outputs."""
    return shape[0], math.prod(shape[1:])


def check_whole(what: str, numbers: np.ndarray, least: int, most: int) -> None:
    """Refuses parts of a code that it never writes.

    Raises:
        DataError: one of the numbers is out of bounds.
    """
    if numbers.size and not least <= int(numbers.min()) <= int(numbers.max()) <= most:
        raise DataError(f"a code has {what} outside {least} to {most}: the file was altered")


def spread(numbers: np.ndarray, group: int | None, columns: int) -> np.ndarray:
    """(R, G), one number per group, -> (R, columns) or (R, 1): one that is the same for a whole row broadcasts."""
    return numbers if group is None else np.repeat(numbers, group, axis=1)[:, :columns]
