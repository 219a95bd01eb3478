"""Blocks of weights that share one choice of signs over a few random vectors: fewest bits for a strong ticket."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from lth_runner.construct.block_code import BlockCode, BlockCoder, Codebooks, Scaling, block_by_block
from lth_runner.construct.codebook import check_vectors
from lth_runner.construct.compensation import COMPENSATE, Compensation, check_training_inputs, compensated, ordered
from lth_runner.construct.expansion import replaced
from lth_runner.construct.prepare import folded, prepared, stored, target_range
from lth_runner.construct.second_moments import calibrated, replace_layers
from lth_runner.core import checks
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.constant import Constant
from lth_runner.distributions.interface import Distribution
from lth_runner.distributions.orthonormal import Orthonormal
from lth_runner.networks.attention import unpack_
from lth_runner.networks.block_expansion import BlockExpansion, blockable, check_sizes, num_blocks
from lth_runner.networks.interface import Architecture, skeleton, state_shapes
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.ticket.source import FITTED, Drawn, Source, Stored
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Block:
    """B weights of a row ~ s sum_j x_j g_j with x in {-1, 1}^n, the nearest of the 2^n for every block.

    g_j are the rows of one random n x B matrix, the same for all blocks and layers; n / B bits a weight. The network
    that this is, and what of it is random, pruned and stored, stands at `BlockExpansion`. A random rotation of the
    inputs, which makes all weights look normal, is QuIP's idea (arXiv:2307.13304).

    The idea of a codebook for blocks of weights with errors fed back is prior art in quantisation (GPTVQ,
    arXiv:2402.15319; QuIP#, arXiv:2402.04396); here the codebook is what a pruned random network can compute.

    Attributes:
        n: random vectors.
        block: weights of a block, B.
        factor: standard deviation of the code over that of the weights that do not escape.
        group: columns that share a scale of their row, a multiple of `block`; None: all.
        escape: weights beyond so many robust standard deviations of their row are stored; None: none are.
        rotate: whether inputs are rotated at random first.
        stored: patterns of weight names that are not approximated but stored.
        compensate: "inputs": blocks of a row take up the errors of those chosen before; "none".
        compensation: how.
        distribution: of the random matrix.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    n: int
    block: int
    factor: float
    group: int | None
    escape: float | None
    rotate: bool
    stored: list[str]
    compensate: str
    compensation: Compensation
    distribution: Distribution

    def __post_init__(self) -> None:
        check_sizes(self.n, self.block, self.group)
        check_vectors(self.n)
        checks.positive("factor", self.factor)
        if self.escape is not None:
            checks.positive("escape", self.escape)
        checks.boolean("rotate", self.rotate)
        checks.choice("compensate", self.compensate, COMPENSATE)

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        check_training_inputs(self.compensate, data)
        replaced(blockable(weight_layers(folded(network))), self.stored)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket; see `Method.find`."""
        problem = prepared(problem)
        network, target = problem.need("network", "target")
        every = weight_layers(network)
        layers = replaced(blockable(every), self.stored)
        if grouped := [layer.name for layer in every if layer.groups > 1]:
            recorder.say(f"grouped convolutions are stored: {', '.join(grouped)}")
        random = self._random(target_range(target, [layer.weight for layer in layers]))
        seed = problem.streams.seed
        work = _Work(self, Codebooks(random.draw(seed), numba.get_num_threads()), target, seed)
        total = sum(target[name].size for name in {layer.weight for layer in layers})
        started = time.perf_counter()
        with recorder.progress(f"blocks of {self.block} weights, {self.n / self.block:g} bits each", total) as bar:
            codes = self._compensated(problem, layers, work, recorder, bar)
            for layer in layers:
                if layer.weight not in codes:
                    codes[layer.weight] = work.plain(layer.weight, bar)
        times = {"solve_time_s": time.perf_counter() - started}
        return Found(ticket=_ticket(problem, self, layers, codes, random), times=times)

    def offered(self, network: Architecture) -> int:
        """See `Offers`: the neurons that the outputs of all layers can take, each with a bit of the mask."""
        layers = replaced(blockable(weight_layers(folded(network))), self.stored)
        neurons = [self.n * num_blocks(layer.part.weight[0].numel(), self.block) for layer in layers]
        return sum(layer.outputs * count for layer, count in zip(layers, neurons, strict=True))

    def _compensated(
        self, problem: Problem, layers: Sequence[WeightLayer], work: "_Work", recorder: Recorder, bar: Progress
    ) -> dict[str, BlockCode]:
        """By the names of the weights, as far as calibration inputs reach them; of none without compensation."""
        codes: dict[str, BlockCode] = {}
        if self.compensate == "none":
            return codes

        def choose(layer: WeightLayer, moments: np.ndarray) -> np.ndarray:
            codes[layer.weight], found = work.compensated(layer.weight, moments[0], bar)
            return found

        for name in sorted(replace_layers(problem, layers, self.compensation, choose, calibrated(problem))):
            recorder.say(f"{name} gets no calibration input: its blocks are chosen one by one")
        return codes

    def _random(self, span: tuple[float, float]) -> Drawn:
        shape = (self.n, self.block)
        return Drawn(shape=shape, distribution=self.distribution.fitted(shape, span), stream=("block",))


@dataclass(frozen=True)
class _Work:
    """What all layers of a run share."""

    settings: Block
    codebooks: Codebooks
    target: Mapping[str, np.ndarray]
    seed: int

    def plain(self, name: str, bar: Progress) -> BlockCode:
        """Each block as near as it can be."""
        matrix, _ = self._matrix(name)
        coder = self._coder(matrix, np.arange(matrix.shape[1]), bar)
        block_by_block(matrix, coder, self.settings.block)
        return coder.code()

    def compensated(self, name: str, moments: np.ndarray, bar: Progress) -> tuple[BlockCode, np.ndarray]:
        """The code, and what stands for the weight, in its shape."""
        (matrix, turn), how = self._matrix(name), self.settings.compensation
        if turn is not None:
            moments = turn @ moments @ turn.T
        coder = self._coder(matrix, ordered(moments, how.order), bar)
        found = compensated(matrix, moments, coder, block=self.settings.block, order=how.order, damping=how.damping)
        return coder.code(), (found if turn is None else found @ turn).reshape(self.target[name].shape)

    def _matrix(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """The weights that are coded, (out, in): for rotated inputs, if they are; then also the rotation (in, in)."""
        matrix = self.target[name].reshape(len(self.target[name]), -1)
        if not self.settings.rotate:
            return matrix, None
        turn = rotation(matrix.shape[1]).draw(self.seed)
        return matrix @ turn.T, turn

    def _coder(self, matrix: np.ndarray, columns: np.ndarray, bar: Progress) -> BlockCoder:
        settings = self.settings
        scaling = Scaling(factor=settings.factor, group=settings.group, escape=settings.escape)
        return BlockCoder(matrix, columns, self.codebooks, settings.block, scaling, bar)


def _ticket(
    problem: Problem, method: Block, layers: Sequence[WeightLayer], codes: Mapping[str, BlockCode], random: Drawn
) -> Ticket:
    network, target = problem.need("network", "target")
    architecture = BlockExpansion(
        target=network,
        n=method.n,
        block=method.block,
        group=method.group,
        permuted=method.compensate == "inputs" and method.compensation.order != "natural",
        rotated=method.rotate,
        escapes={layer.name: len(codes[layer.weight].place) for layer in layers},
    )
    sources: dict[str, Source] = {}
    for layer in layers:
        sources |= _sources(layer.name, codes[layer.weight], random)
        sources[f"{layer.name}.rotation.weight"] = rotation(layer.part.weight[0].numel())
    _, renamed = unpack_(skeleton(network))
    weights = {
        name: sources[name] if name in sources else stored(target[renamed.get(name, name)])
        for name in state_shapes(architecture)
    }
    escaped = sum(len(codes[name].place) for name in {layer.weight for layer in layers})
    return Ticket(
        architecture=architecture,
        seed=problem.streams.seed,
        weights=weights,
        masks={f"{layer.name}.sum.weight": codes[layer.weight].mask for layer in layers},
        facts={"n": method.n, "block": method.block, "escaped": escaped},
    )


def rotation(inputs: int) -> Drawn:
    """Of so many inputs: a random orthogonal matrix."""
    return Drawn(shape=(inputs, inputs), distribution=Orthonormal(), stream=("rotation", str(inputs)))


def _sources(layer: str, code: BlockCode, random: Drawn) -> dict[str, Source]:
    ones = Drawn(shape=(1,) * len(code.mask.shape), distribution=Constant(value=1.0), stream=())
    fitted = {"scale": code.scale, "columns": code.columns, "escape_place": code.place, "escape_value": code.value}
    return {
        f"{layer}.split.weight": random,
        f"{layer}.sum.weight": ones,
        **{f"{layer}.{name}": Stored(array=array, origin=FITTED) for name, array in fitted.items()},
    }
