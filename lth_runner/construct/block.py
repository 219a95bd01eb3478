"""Blocks of weights that share one choice of signs over a few random vectors: fewest bits for a strong ticket."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from lth_runner.construct.block_code import BlockCode, Codebooks, Scaling
from lth_runner.construct.block_coding import Coding, follows_pruned, in_tensors, rotation, sizes_of
from lth_runner.construct.codebook import check_vectors
from lth_runner.construct.compensation import COMPENSATE, Compensation, check_training_inputs
from lth_runner.construct.expansion import replaced
from lth_runner.construct.prepare import folded, prepared, stored, target_range
from lth_runner.construct.rows import shared_out
from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.constant import Constant
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.attention import unpack_
from lth_runner.networks.block_expansion import BlockExpansion, blockable, check_sizes, num_blocks
from lth_runner.networks.interface import Architecture, skeleton, state_shapes
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.problem import Found, Problem, Share
from lth_runner.resources import CORES, Resources
from lth_runner.ticket.part import read_part
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
        self._layers(folded(network))

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, put together where the problem has its parts; see `Method.find`."""
        coding, random = self._coding(problem, recorder)
        if problem.parts:
            codes = coding.joined((read_part(path) for path in problem.parts), needed=coding.sizes)
            return Found(ticket=_ticket(coding.problem, self, coding.layers, codes, random))
        started = time.perf_counter()
        codes = coding.coded({name: slice(0, rows) for name, (rows, _) in coding.sizes.items()}, recorder)
        times = {"solve_time_s": time.perf_counter() - started}
        return Found(ticket=_ticket(coding.problem, self, coding.layers, codes, random), times=times)

    def stages(self, network: Architecture) -> int:
        """See `InParts`: the weights, where each is coded for the inputs that the pruned layers before it give."""
        return len(sizes_of(self._layers(folded(network)))) if follows_pruned(self._passes_on()) else 1

    def make(self, problem: Problem, recorder: Recorder, share: Share) -> dict[str, np.ndarray]:
        """See `InParts`: rows of one layer where layers wait for those before, or else of all layers in turn."""
        coding, _ = self._coding(problem, recorder)
        if follows_pruned(self._passes_on()):
            made = coding.joined(read_part(path) for path in problem.parts)
            codes, own = coding.coded_next(made, share, recorder)
        else:
            own = shared_out(coding.sizes, share)
            codes = coding.coded(own, recorder)
        return in_tensors(codes, own)

    def offered(self, network: Architecture) -> int:
        """See `Offers`: the neurons that the outputs of all layers can take, each with a bit of the mask."""
        layers = self._layers(folded(network))
        neurons = [self.n * num_blocks(layer.part.weight[0].numel(), self.block) for layer in layers]
        return sum(layer.outputs * count for layer, count in zip(layers, neurons, strict=True))

    def _passes_on(self) -> Compensation | None:
        return self.compensation if self.compensate == "inputs" else None

    def _layers(self, network: Architecture) -> list[WeightLayer]:
        return replaced(blockable(weight_layers(network)), self.stored)

    def _coding(self, problem: Problem, recorder: Recorder) -> tuple[Coding, Drawn]:
        """What codes the layers, and the random matrix."""
        problem = prepared(problem)
        network, target = problem.need("network", "target")
        layers = self._layers(network)
        if grouped := [layer.name for layer in weight_layers(network) if layer.groups > 1]:
            recorder.say(f"grouped convolutions are stored: {', '.join(grouped)}")
        random = self._random(target_range(target, [layer.weight for layer in layers]))
        coding = Coding(
            problem=problem,
            layers=layers,
            codebooks=Codebooks(random.draw(problem.streams.seed), numba.get_num_threads()),
            block=self.block,
            scaling=Scaling(factor=self.factor, group=self.group, escape=self.escape),
            rotate=self.rotate,
            compensation=self._passes_on(),
            label=f"blocks of {self.block} weights, {self.n / self.block:g} bits each",
        )
        return coding, random

    def _random(self, span: tuple[float, float]) -> Drawn:
        shape = (self.n, self.block)
        return Drawn(shape=shape, distribution=self.distribution.fitted(shape, span), stream=("block",))


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


def _sources(layer: str, code: BlockCode, random: Drawn) -> dict[str, Source]:
    ones = Drawn(shape=(1,) * len(code.mask.shape), distribution=Constant(value=1.0), stream=())
    fitted = {"scale": code.scale, "columns": code.columns, "escape_place": code.place, "escape_value": code.value}
    return {
        f"{layer}.split.weight": random,
        f"{layer}.sum.weight": ones,
        **{f"{layer}.{name}": Stored(array=array, origin=FITTED) for name, array in fitted.items()},
    }
