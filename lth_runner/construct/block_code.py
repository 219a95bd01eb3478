"""One weight matrix written in signed sums: a block of each row at a time, with scales and single stored weights."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lth_runner.construct.codebook import Codebook
from lth_runner.construct.compensation import Choose
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.recorder import Progress
from lth_runner.networks.block_expansion import num_blocks, num_groups
from lth_runner.ticket.mask import Mask

TOGETHER = 1 << 17  # blocks whose codewords are sought together: bounds memory
ROBUST = 1.4826  # the median of |w| times this is the standard deviation of normal weights w


class Codebooks:
    """The signed sums of the rows of one random matrix (n, block), and those of its first columns."""

    def __init__(self, random: np.ndarray, workers: int) -> None:
        self.random, self.workers, self.n = random, workers, len(random)
        self._found: dict[int, Codebook] = {}

    @property
    def std(self) -> float:
        """The standard deviation of a coordinate over all signed sums, in the mean over the coordinates."""
        return float(np.sqrt((self.random**2).sum(0).mean()))

    def of(self, width: int) -> Codebook:
        """For blocks of that many weights."""
        if width not in self._found:
            self._found[width] = Codebook(self.random[:, :width])
        return self._found[width]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How the scales of a matrix come about, and which weights escape.

    Attributes:
        factor: standard deviation of the code over that of the weights which do not escape.
        group: columns that share a scale; None: all.
        escape: weights beyond so many robust standard deviations of their row are stored; None: none are.
    """

    factor: float
    group: int | None
    escape: float | None

    def limits(self, matrix: np.ndarray) -> np.ndarray:
        """(out, 1) the largest |w| of a row that does not escape; infinite where none does.

        The standard deviation is taken from the median of |w|; of all weights where more than half of them are 0.
        """
        if self.escape is None:
            return np.full((len(matrix), 1), np.inf)
        spread = ROBUST * np.median(np.abs(matrix), axis=1)
        spread = np.where(spread > 0, spread, np.sqrt((matrix**2).mean(axis=1)))
        return self.escape * spread[:, None]

    def scales(self, matrix: np.ndarray, std: float) -> np.ndarray:
        """(out, groups) float16: rounded before anything is chosen; below 6e-5 with fewer digits.

        Args:
            matrix: the columns in the order in which they form blocks.
            std: of the code without a scale.

        Raises:
            ConfigError: a scale is too large for float16.
        """
        matrix = np.ascontiguousarray(matrix)  # so that a row's sum is one of its own
        inside = np.abs(matrix) <= self.limits(matrix)
        groups = num_groups(matrix.shape[1], self.group)
        step = matrix.shape[1] if self.group is None else self.group
        starts = np.arange(groups) * step
        squares = np.add.reduceat(np.where(inside, matrix, 0.0) ** 2, starts, axis=1)
        counts = np.add.reduceat(inside, starts, axis=1, dtype=np.int64)
        return half(self.factor / std * np.sqrt(squares / np.maximum(counts, 1)))


@dataclass(frozen=True, kw_only=True)
class BlockCode:
    """What stands for one matrix.

    Attributes:
        mask: (out, blocks, n).
        scale: (out, groups) float16.
        columns: (in,) int32, the order in which columns form blocks.
        place: (escapes,) int32, ascending: row * in + column of the stored weights.
        value: (escapes,) float16, what is added there.
    """

    mask: Mask
    scale: np.ndarray
    columns: np.ndarray
    place: np.ndarray
    value: np.ndarray


class BlockCoder:
    """Chooses for the blocks of one matrix in turn; a `Choose` of `compensated`."""

    def __init__(
        self, matrix: np.ndarray, columns: np.ndarray, codebooks: Codebooks, block: int, scaling: Scaling, bar: Progress
    ) -> None:
        self._codebooks, self._block, self._bar = codebooks, block, bar
        self._columns, self._limits = columns, scaling.limits(matrix)
        self._scale = scaling.scales(matrix[:, columns], codebooks.std)
        blocks = num_blocks(matrix.shape[1], block)
        self._groups = np.arange(blocks) * block // (scaling.group or matrix.shape[1])
        self._index = np.zeros((len(matrix), blocks), np.uint32)
        self._escapes: list[tuple[np.ndarray, np.ndarray]] = []
        self._done = 0  # blocks

    def __call__(self, current: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The nearest codewords to (out, width) weights, with what is stored on top where weights escape.

        Args:
            current: of one block or of several next to each other; the last block, if it is not whole, comes alone.
        """
        width = min(self._block, current.shape[1])
        shape = (len(current), -1, width)  # (out, blocks, width)
        done = slice(self._done, self._done + current.shape[1] // width)
        scale = self._scale[:, self._groups[done], None].astype(np.float64)
        inside = np.abs(current) <= self._limits
        codebook = self._codebooks.of(width)
        targets = np.where(inside, current, 0.0).reshape(shape) / np.where(scale > 0, scale, 1.0)
        index = codebook.nearest(targets.reshape(-1, width), self._codebooks.workers)
        self._index[:, done] = index.reshape(len(current), -1)
        found = (scale * codebook.points[self._index[:, done]]).reshape(current.shape)
        if not inside.all():
            row, column = np.nonzero(~inside)
            value = half(current[row, column] - found[row, column])
            found[row, column] += value
            self._escapes.append((row * len(self._columns) + columns[column], value))
        self._done = done.stop
        self._bar.advance(current.size)
        return found

    def code(self) -> BlockCode:
        """All that was chosen, once all blocks were."""
        codebook = self._codebooks.of(min(self._block, len(self._columns)))
        place, value = (np.concatenate(part) for part in zip(*self._escapes, (_NO_PLACE, _NO_VALUE), strict=True))
        order = np.argsort(place)
        return BlockCode(
            mask=packed(self._index, codebook),
            scale=self._scale,
            columns=self._columns.astype(np.int32),
            place=place[order].astype(np.int32),
            value=value[order],
        )


_NO_PLACE, _NO_VALUE = np.zeros(0, np.int64), np.zeros(0, np.float16)


def block_by_block(matrix: np.ndarray, choose: Choose, block: int) -> np.ndarray:
    """`compensated` without compensation, in the natural order of the columns: (out, in) float64.

    Args:
        choose: gets several blocks at once, and the last one alone if it is not whole.
    """
    count = matrix.shape[1]
    whole, step = count // block * block, max(1, TOGETHER // len(matrix)) * block
    starts = [*range(0, whole, step), *([whole] if whole < count else [])]
    slabs = [slice(start, stop) for start, stop in itertools.pairwise([*starts, count])]
    return np.concatenate([choose(matrix[:, own], np.arange(count)[own]) for own in slabs], axis=1)


def stacked(codes: Sequence[BlockCode]) -> BlockCode:
    """The code of a matrix whose rows were coded in portions, which begin with tiles and stand in their order.

    Raises:
        DataError: portions of one matrix take its columns in different orders.
    """
    first, inputs = codes[0], len(codes[0].columns)
    if any(not np.array_equal(code.columns, first.columns) for code in codes):
        raise DataError("parts of one weight take its columns in different orders: make them again, with rerun=true")
    starts = np.cumsum([0, *(len(code.scale) for code in codes)])
    places = [code.place + np.int32(start * inputs) for code, start in zip(codes, starts, strict=False)]
    shape = (int(starts[-1]), *first.mask.shape[1:])
    return BlockCode(
        mask=Mask(shape, np.concatenate([code.mask.bits for code in codes])),  # a tile's rows fill whole bytes
        scale=np.concatenate([code.scale for code in codes]),
        columns=first.columns,
        place=np.concatenate(places),
        value=np.concatenate([code.value for code in codes]),
    )


def decoded(code: BlockCode, codebooks: Codebooks, block: int, group: int | None) -> np.ndarray:
    """(out, in) float64: what the coder gave for each block, to the bit."""
    inputs, blocks = len(code.columns), code.mask.shape[1]
    groups = np.arange(blocks) * block // (group or inputs)
    found = np.empty((len(code.scale), inputs))
    step = max(1, TOGETHER // blocks)
    whole = inputs // block  # the last block may be narrower
    parts = [(slice(0, whole), block), (slice(whole, blocks), inputs % block)]
    for start in range(0, len(found), step):
        rows = slice(start, min(start + step, len(found)))
        index, scale = numbered(code.mask.rows(rows.start, rows.stop)), code.scale[rows][:, groups, None]
        for own, width in parts if inputs % block else parts[:1]:
            values = scale[:, own].astype(np.float64) * codebooks.of(width).points[index[:, own]]
            columns = code.columns[own.start * block : own.start * block + values[0].size]
            found[rows, columns] = values.reshape(len(index), -1)
    found.reshape(-1)[code.place] += code.value
    return found


def numbered(bits: np.ndarray) -> np.ndarray:
    """(..., n) bool to (...,) uint32: the index of the codeword; see `Codebook.bits`."""
    found = np.zeros(bits.shape[:-1], np.uint32)
    for column in np.moveaxis(bits, -1, 0):
        found = found << np.uint32(1) | column
    return found


def packed(index: np.ndarray, codebook: Codebook) -> Mask:
    """The mask (out, blocks, n) of indices (out, blocks): some rows at a time, which fill whole bytes."""
    shape = (*index.shape, codebook.n)
    bits = [np.packbits(codebook.bits(index[start : start + 8])) for start in range(0, len(index), 8)]
    return Mask(shape, np.concatenate(bits))


def half(array: np.ndarray) -> np.ndarray:
    """Rounded to float16.

    Raises:
        ConfigError: a number is too large for that.
    """
    with np.errstate(over="ignore"):
        found = array.astype(np.float16)
    if not np.isfinite(found).all():
        raise ConfigError("the target's weights are too large for scales in float16 (65504): scale the network down")
    return found
