"""The blocks of all layers of a network coded: at once, or rows of them in parts that later runs put together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lth_runner.construct.block_code import (
    BlockCode,
    BlockCoder,
    Codebooks,
    Scaling,
    block_by_block,
    decoded,
    stacked,
)
from lth_runner.construct.compensation import Compensation, Weighed, in_turn, weighed
from lth_runner.construct.rows import rows_times, shared_out, slabs
from lth_runner.construct.second_moments import calibrated, replace_layers
from lth_runner.core.errors import DataError
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.distributions.orthonormal import Orthonormal
from lth_runner.networks.block_expansion import num_blocks
from lth_runner.networks.layers import WeightLayer
from lth_runner.problem import Problem, Share
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn

Codes = dict[str, BlockCode]  # by the names of the weights
FIELDS = ("mask", "scale", "columns", "place", "value")  # of a `BlockCode`, as a part's file has them


@dataclass(frozen=True, kw_only=True)
class Coding:
    """What all layers of a run share.

    Attributes:
        problem: prepared.
        layers: those that are coded.
        codebooks: of the random matrix.
        block: weights of a block.
        scaling: of the rows.
        rotate: whether inputs are rotated at random first.
        compensation: how blocks take up the errors of those chosen before; None: they do not.
        label: of the bars.
    """

    problem: Problem
    layers: Sequence[WeightLayer]
    codebooks: Codebooks
    block: int
    scaling: Scaling
    rotate: bool
    compensation: Compensation | None
    label: str

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and inputs of every weight, by name."""
        return sizes_of(self.layers)

    def coded(self, own: Mapping[str, slice], recorder: Recorder) -> Codes:
        """The code of these rows of these weights, where no layer waits for rows of another one that are not here."""
        layers = [layer for layer in self.layers if layer.weight in own]
        codes: Codes = {}
        with recorder.progress(self.label, self._numbers(own)) as bar:

            def choose(layer: WeightLayer, moments: np.ndarray) -> np.ndarray | None:
                code = codes[layer.weight] = self._compensated(layer.weight, own[layer.weight], moments[0], bar)
                return self.weight(layer.weight, code) if follows_pruned(self.compensation) else None

            if self.compensation is not None:
                replace_layers(self.problem, layers, self.compensation, choose, calibrated(self.problem))
            for name in sorted(own.keys() - codes.keys()):
                if self.compensation is not None:
                    recorder.say(f"{name} gets no calibration input: its blocks are chosen one by one")
                codes[name] = self._plain(name, own[name], bar)
        return codes

    def coded_next(self, made: Codes, share: Share, recorder: Recorder) -> tuple[Codes, dict[str, slice]]:
        """Rows of the first layer that the calibration inputs reach behind those made before, and which they are."""
        assert self.compensation is not None, "layers only wait for each other where inputs are followed"
        codes: Codes = {}
        own: dict[str, slice] = {}
        reached: list[str] = []

        def known(layer: WeightLayer) -> np.ndarray | None:
            return self.weight(layer.weight, made[layer.weight]) if layer.weight in made else None

        def choose(layer: WeightLayer, moments: np.ndarray) -> None:
            own.update(shared_out({layer.weight: self.sizes[layer.weight]}, share))
            reached.append(layer.weight)
            with recorder.progress(f"{self.label}: {layer.weight}", self._numbers(own)) as bar:
                codes.update({name: self._compensated(name, rows, moments[0], bar) for name, rows in own.items()})

        replace_layers(self.problem, self.layers, self.compensation, choose, calibrated(self.problem), known)
        if reached:
            return codes, own
        left = [name for name in sorted(self.sizes) if name not in made]  # no input reaches them
        own = shared_out({name: self.sizes[name] for name in left[:1]}, share)
        with recorder.progress(self.label, self._numbers(own)) as bar:
            return {name: self._plain(name, rows, bar) for name, rows in own.items()}, own

    def joined(self, parts: Iterable[Mapping[str, np.ndarray]], needed: Iterable[str] = ()) -> Codes:
        """The code of all weights that parts have rows of.

        Args:
            parts: tensors of `in_tensors`.
            needed: weights that they must have.

        Raises:
            DataError: they do not have each row once.
        """
        found: dict[str, dict[int, BlockCode]] = {name: {} for name in needed}
        for tensors in parts:
            for key in tensors:
                name, start, field = key.rsplit("/", 2)
                if field == FIELDS[0]:
                    code = self._from_tensors(name, {each: tensors[f"{name}/{start}/{each}"] for each in FIELDS})
                    found.setdefault(name, {})[int(start)] = code
        for name, codes in found.items():
            ends = np.cumsum([0, *(len(codes[start].scale) for start in sorted(codes))]).tolist()
            if ends != [*sorted(codes), self.sizes[name][0]]:
                raise DataError(f"the parts do not have each row of {name} once: make them again, with rerun=true")
        return {name: stacked([codes[start] for start in sorted(codes)]) for name, codes in found.items()}

    def weight(self, name: str, code: BlockCode) -> np.ndarray:
        """What stands for a weight, in its shape."""
        shape = self.problem.need("target")[0][name].shape
        found = decoded(code, self.codebooks, self.block, self.scaling.group)
        return (rows_times(found, self._turn(found.shape[1])) if self.rotate else found).reshape(shape)

    def _compensated(self, name: str, rows: slice, moments: np.ndarray, bar: Progress) -> BlockCode:
        assert self.compensation is not None, "moments are taken for compensation alone"
        if self.rotate:
            turn = self._turn(len(moments))
            moments = turn @ moments @ turn.T
        passed = weighed(moments, self.compensation.order, self.compensation.damping)
        del moments

        def code(matrix: np.ndarray) -> BlockCode:
            coder = self._coder(matrix, passed, bar)
            in_turn(matrix, passed, coder, self.block)
            return coder.code()

        return stacked([code(self._matrix(name, slab)) for slab in slabs(rows, len(passed.columns))])

    def _plain(self, name: str, rows: slice, bar: Progress) -> BlockCode:
        """Each block as near as it can be."""

        def code(matrix: np.ndarray) -> BlockCode:
            coder = self._coder(matrix, None, bar)
            block_by_block(matrix, coder, self.block)
            return coder.code()

        return stacked([code(self._matrix(name, slab)) for slab in slabs(rows, self.sizes[name][1])])

    def _matrix(self, name: str, rows: slice) -> np.ndarray:
        """The weights that are coded, (rows, in): for rotated inputs, if they are."""
        weight = self.problem.need("target")[0][name]
        matrix = weight.reshape(len(weight), -1)[rows]
        return rows_times(matrix, self._turn(matrix.shape[1]).T) if self.rotate else matrix

    def _turn(self, inputs: int) -> np.ndarray:
        return rotation(inputs).draw(self.problem.streams.seed)

    def _coder(self, matrix: np.ndarray, passed: Weighed | None, bar: Progress) -> BlockCoder:
        columns = np.arange(matrix.shape[1]) if passed is None else passed.columns
        return BlockCoder(matrix, columns, self.codebooks, self.block, self.scaling, bar)

    def _numbers(self, own: Mapping[str, slice]) -> int:
        return sum((rows.stop - rows.start) * self.sizes[name][1] for name, rows in own.items())

    def _from_tensors(self, name: str, tensors: Mapping[str, np.ndarray]) -> BlockCode:
        shape = (len(tensors["scale"]), num_blocks(self.sizes[name][1], self.block), self.codebooks.n)
        return BlockCode(**{**tensors, "mask": Mask(shape, tensors["mask"])})


def in_tensors(codes: Codes, own: Mapping[str, slice]) -> dict[str, np.ndarray]:
    """Codes of these rows as named tensors, for a part's file."""
    return {
        f"{name}/{own[name].start}/{field}": code.mask.bits if field == "mask" else getattr(code, field)
        for name, code in codes.items()
        for field in FIELDS
    }


def sizes_of(layers: Iterable[WeightLayer]) -> dict[str, tuple[int, int]]:
    """Rows and inputs of their weights, by name."""
    return {layer.weight: (layer.outputs, layer.part.weight[0].numel()) for layer in layers}


def follows_pruned(compensation: Compensation | None) -> bool:
    """Whether what is coded depends on the code of the layers before."""
    return compensation is not None and compensation.follow == "pruned"


def rotation(inputs: int) -> Drawn:
    """Of so many inputs: a random orthogonal matrix."""
    return Drawn(shape=(inputs, inputs), distribution=Orthonormal(), stream=("rotation", str(inputs)))
