"""Any network approximated by pruning one whose weights all have the same size, and random signs."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lth_runner.construct.expansion import HALVES, positive_inputs, replaced
from lth_runner.construct.paths import LayerTargets
from lth_runner.construct.powers import enough, failures_behind_copies, failures_behind_first, powers, whole_number_sums
from lth_runner.construct.prepare import folded, prepared, stored
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.distributions.signs import Signs
from lth_runner.networks.attention import unpack_
from lth_runner.networks.chain_expansion import ChainExpansion, check_chain, exponents
from lth_runner.networks.interface import Architecture, parameter_shapes, skeleton, state_shapes
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.two_layer_expansion import has_constant
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source
from lth_runner.ticket.ticket import Ticket

EIGHT = 8  # outputs per step: whatever the width, their masks fill whole bytes


@dataclass(frozen=True, kw_only=True)
class Binary:
    """w ~ s q, with q a whole number from -2^b to 2^b, built of random signs alone; |error| <= 2^(-b-1) max |w|.

    s = max |w| / 2^b over a layer's weights and biases is the one number that is known for each layer, and q = w / s
    rounded. `ChainExpansion` says what the random network is.

    Proof. Every random weight is +1 or -1. (1) In the first hidden layer relu(a x) = |x| for the neurons whose sign a
    is that of x; the others are pruned. (2) Let the neurons of a block in one hidden layer carry |x| times 1, 2, ...,
    2^(B-1), once each, and 2^B, c times. A neuron of the next layer has an edge of random sign from each of them. By
    the lemma of `whole_number_sums` the sums that can be kept are |x| times all whole numbers up to 2^B - 1 - N + p
    2^B, with p the number of edges of sign plus from those for 2^B; p >= 2^d is enough for it to carry any power up to
    2^(B + d), whatever the other signs. So after T = ceil(b / d) such layers a block carries 1, ..., 2^b. (3) By the
    lemma again, each output gets q |x| from it, for any |q| <= 2^b, if its edges from the copies of 2^b do not all have
    one sign. A second block serves inputs of the other sign. (4) `failures_behind_first` and `failures_behind_copies`
    bound the number of neurons and weights that are expected to lack edges; their sum bounds the probability that any
    does.

    So a target layer becomes T + 2 layers; each input coordinate and sign gets b + c neurons in the last hidden layer,
    fewer in those before, and `first` in the first one. Both c and `first` are log2(1 / failure) plus the logarithm of
    the number of weights, times constants, for a given d, and b is log2(1 / (2 epsilon)) for errors of epsilon max |w|:
    width and depth are those of the target times logarithms. More doublings d trade depth for width: `first` is above
    2^(d + 2) and, with T > 1, c above 2^(d + 1). A weight keeps about b / 2 edges of the last layer, and a neuron of a
    chain 2^d for the largest power and about two for others.

    What fails is pruned where it is a neuron, so that others do without it; a weight that lacks an edge is counted as
    unsolved, and gets what its other edges bring it.

    Reference: own construction. That pruned networks of signs, wider and deeper by polylogarithmic factors, approximate
    any network is Sreenivasan et al.'s theorem (arXiv:2110.08996, AISTATS 2022), of which only the statement was known
    here; that of polynomial width is Diffenderfer and Kailkhura's (arXiv:2103.09377).

    Attributes:
        bits: b.
        doublings: d.
        failure: probability, at most, that any weight or neuron fails; decides `first` and `copies` where not given.
        first: neurons in the first hidden layer for each input coordinate and sign.
        copies: neurons for the largest power in each of the others, c.
        stored: patterns of weight names ("head.*") that are not approximated but stored.
        halves: see `Layout`.
        distribution: of every random weight: signs of any size.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    bits: int
    doublings: int
    failure: float
    first: int | None
    copies: int | None
    stored: list[str]
    halves: str
    distribution: Distribution

    def __post_init__(self) -> None:
        check_chain(self.bits, self.doublings)
        checks.positive("failure", self.failure)
        for name in ("first", "copies"):
            if getattr(self, name) is not None:
                checks.integer(name, getattr(self, name), at_least=1)
        checks.choice("halves", self.halves, HALVES)
        if not isinstance(self.distribution, Signs):
            raise ConfigError(
                f"binary needs random weights of one size and either sign, got {self.distribution!r}: set "
                "method/distribution=signs"
            )

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        del data
        replaced(weight_layers(folded(network)), self.stored)

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        problem = Problem(network=network, target=None, data=None, streams=Streams(0), device="cpu")
        random = self._random_network(problem)
        shapes = parameter_shapes(random)
        return sum(int(np.prod(shapes[name])) for layer in random.layers for name in random.random_names(layer))

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`. Facts: its sizes, and failures, expected and met."""
        started = time.perf_counter()
        problem = prepared(problem)
        (target,) = problem.need("target")
        random = self._random_network(problem)
        targets = {layer.name: LayerTargets.of(layer, target) for layer in random.layers}
        scales = {layer.weight: (targets[layer.name].largest or 1.0) / 2**self.bits for layer in random.layers}
        size = self._size() ** (len(random.widths) + 1)
        random = replace(random, gains={name: scale / size for name, scale in scales.items()})
        work = _Work(random, self.distribution, problem.streams.seed)
        label = f"whole numbers of {self.bits} bits from signs"
        with recorder.progress(label, sum(layer.outputs for layer in random.layers)) as bar:
            for layer in random.layers:
                work.prune(layer, targets[layer.name].weight / scales[layer.weight], bar)
        _, renamed = unpack_(skeleton(random.target))
        weights = {
            name: work.drawn[name] if name in work.drawn else stored(target[renamed.get(name, name)])
            for name in state_shapes(random)
        }
        ticket = Ticket(
            architecture=random,
            seed=problem.streams.seed,
            weights=weights,
            masks=work.masks,
            facts=self._facts(random) | {"failed_neurons": work.failed, "unsolved": work.unsolved},
        )
        if work.unsolved:
            recorder.say(
                f"warning: {label}: {work.unsolved:,} weights lack an edge that they need: leave method.copies and "
                "method.first to method.failure, or set larger ones"
            )
        return Found(ticket=ticket, times={"solve_time_s": time.perf_counter() - started})

    def _size(self) -> float:
        assert isinstance(self.distribution, Signs), "checked when it was made"
        return self.distribution.size

    def _random_network(self, problem: Problem) -> ChainExpansion:
        """Without gains yet."""
        (network,) = problem.need("network")
        layers = replaced(weight_layers(network, positive_inputs=positive_inputs(problem)), self.stored)
        single = self.halves == "positive"
        twins = [layer.weight for layer in layers if not (single and layer.never_negative)]
        blocks, numbers = _counts(layers, twins)
        first, copies = enough(self.bits, self.doublings, self.failure, blocks, numbers)
        return ChainExpansion(
            target=network,
            bits=self.bits,
            doublings=self.doublings,
            first=self.first or first,
            copies=self.copies or copies,
            twins=twins,
            gains={layer.weight: 1.0 for layer in layers},
        )

    def _facts(self, random: ChainExpansion) -> dict[str, float]:
        blocks, numbers = _counts(random.layers, random.twins)
        sizes = (self.bits, self.doublings)
        expected = failures_behind_first(*sizes, random.first, random.copies, blocks)
        expected += failures_behind_copies(*sizes, random.copies, blocks, numbers)
        return {
            "n": random.widths[-1],
            "bits": self.bits,
            "doublings": self.doublings,
            "first": random.first,
            "copies": random.copies,
            "layers_each": len(random.widths) + 1,
            "expected_failures": expected,
        }


class _Work:
    """Prunes layer after layer, and adds up what failed.

    Attributes:
        failed: neurons that do not carry what they were to.
        unsolved: weights, for one sign of their inputs each, that are not the whole number they were to be.
    """

    def __init__(self, random: ChainExpansion, distribution: Distribution, seed: int) -> None:
        self.drawn: dict[str, Source] = {}
        self.masks: dict[str, Mask] = {}
        self.failed = self.unsolved = 0
        self._random, self._distribution, self._seed = random, distribution, seed
        self._shapes = parameter_shapes(random)

    def prune(self, layer: WeightLayer, sought: np.ndarray, bar: Progress) -> None:
        """The masks of one layer.

        Args:
            sought: (outputs, coordinates of a group, taps), in units of the layer's scale.
        """
        *names, last = self._random.random_names(layer)
        carrying = self._first(names[0], self._random.signs(layer))
        rising = exponents(self._random.bits, self._random.doublings)
        for name, before, after in zip(names[1:], rising[:-1], rising[1:], strict=True):
            plus = self._plus(name)
            needed = powers(after, self._random.copies)
            kept, found = whole_number_sums(plus, carrying[:, None], before, needed)
            carrying = found == needed
            self.failed += int(np.count_nonzero(~carrying))
            self.masks[name] = Mask.pack(kept & carrying[..., None])
        needed = np.rint(sought).astype(np.int64)
        packed = [np.packbits(kept) for kept in self._sums(last, layer, needed, carrying, bar)]
        self.masks[last] = Mask(self._shapes[last], np.concatenate(packed))

    def _first(self, name: str, signs: int) -> np.ndarray:
        """Which neurons carry the absolute value of an input of their block's sign: (blocks, first) bool."""
        plus = self._plus(name)
        carrying = plus.copy()
        if signs == 2:
            carrying[1::2] = ~plus[1::2]
        self.masks[name] = Mask.pack(carrying)
        return carrying[..., 0]

    def _sums(
        self, name: str, layer: WeightLayer, needed: np.ndarray, carrying: np.ndarray, bar: Progress
    ) -> Iterator[np.ndarray]:
        """The mask of the last tensor, a multiple of eight outputs at a time; a group's outputs see its own neurons."""
        signs = self._random.signs(layer)
        sign = np.array([1, -1][:signs])[:, None]
        source = self._source(name)
        neurons = carrying.reshape(layer.groups, -1, signs, 1, carrying.shape[1])  # (groups, coordinates, signs, 1, m)
        per_row = int(np.prod(source.shape[1:]))
        for start in range(0, layer.outputs, EIGHT):
            rows = np.arange(start, min(start + EIGHT, layer.outputs))
            drawn = source.draw(self._seed, start * per_row, rows.size * per_row)
            plus = (drawn > 0).reshape(rows.size, *neurons.shape[1:3], neurons.shape[4], -1).swapaxes(3, 4)
            numbers = needed[rows][:, :, None] * sign  # (rows, coordinates, signs, taps)
            usable = neurons[rows * layer.groups // layer.outputs]
            kept, found = whole_number_sums(plus, usable, self._random.bits, numbers)
            self.unsolved += int(np.count_nonzero(found != numbers))
            bar.advance(rows.size)
            yield kept.swapaxes(3, 4)

    def _plus(self, name: str) -> np.ndarray:
        return self._source(name).draw(self._seed) > 0

    def _source(self, name: str) -> Drawn:
        source = Drawn(shape=self._shapes[name], distribution=self._distribution, stream=(name,))
        self.drawn[name] = source
        return source


def _counts(layers: Sequence[WeightLayer], twins: Sequence[str]) -> tuple[int, int]:
    """Chains, and whole numbers at their ends: a weight is one for each sign that its input may have."""
    signs = [1 + (layer.weight in twins) for layer in layers]
    coordinates = [layer.inputs + has_constant(layer) for layer in layers]
    blocks = [count * each for count, each in zip(coordinates, signs, strict=True)]
    seen = [layer.outputs // layer.groups * int(np.prod(layer.kernel)) for layer in layers]  # by how many each is
    return sum(blocks), sum(count * each for count, each in zip(blocks, seen, strict=True))
