"""A target approximated by pruning a random network twice as deep, by whatever choice of products of its weights.

What is pruned here is random, and nothing else computes the output but what the ticket says it stores: this is the
theorem's network.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lth_runner.construct.compensated_paths import ExpandedLayer, compensated_paths
from lth_runner.construct.compensation import Compensation
from lth_runner.construct.matching import Matching
from lth_runner.construct.paths import (
    LayerTargets,
    check_activation,
    first_factors,
    products,
    reach,
    unit_gain,
    usable_neurons,
)
from lth_runner.construct.prepare import folded, prepared, stored, target_range, without
from lth_runner.construct.sums import Choose, Paths, SumSolver, warn_of_unsolved
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.activations import Activation
from lth_runner.networks.attention import unpack_
from lth_runner.networks.interface import Architecture, parameter_shapes, skeleton, state_shapes
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion, has_constant
from lth_runner.problem import Found, Problem
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source
from lth_runner.ticket.ticket import Ticket

HALVES = ("both", "positive")
SIGNS = ("reserved", "as_drawn")
GAINS = ("fitted", "matched", "none")
BLOCK = 1 << 20  # random numbers looked through at a time for those on the diagonal


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the random network of twice the depth is laid out and used.

    Attributes:
        n: hidden neurons per input coordinate and sign of the input.
        halves: "both": neurons for positive and for negative inputs everywhere, as in the theorem; "positive": for
            positive inputs alone wherever the input is never negative (after a ReLU, or pixels that are not).
        activation: of the added neurons. One with the same slope on both sides of zero needs no neurons for one sign of
            the input: then there are n for each coordinate, and `halves` and `signs` have no say.
        scale: of the first weights; below 1 it keeps neurons near zero, where a curved activation is nearly linear.
        signs: of the 2n neurons of a coordinate, "reserved": the first n are for positive inputs, the others for
            negative ones, and those whose weight has the wrong sign are pruned, as in the theorem; "as_drawn": every
            neuron is for the inputs of the sign its weight happens to have. Equal where only positive inputs occur.
        gains: "fitted": a layer whose largest weight is out of reach of sums of products gets a gain above 1 that
            brings it within; "matched": every layer gets the gain with which sums of products have the size of its
            weights; "none": never, as in the theorem. On top comes `unit_gain`.
        matching: how that is chosen, where it is.
        max_paths: hidden neurons that one sum may use, since exact search takes 2^(max_paths / 2) steps; a coordinate's
            neurons beyond these are pruned.
        epsilon: absolute error allowed per target weight.
        stored: patterns of weight names that are not approximated but stored.
        distribution: of every random weight.
    """

    n: int
    halves: str
    signs: str
    gains: str
    matching: Matching | None
    max_paths: int
    epsilon: float
    stored: Sequence[str]
    activation: Activation
    scale: float
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        check_activation(self.activation, self.scale)
        checks.choice("halves", self.halves, HALVES)
        checks.choice("signs", self.signs, SIGNS)
        checks.choice("gains", self.gains, GAINS)
        checks.integer("max_paths", self.max_paths, at_least=1)
        checks.positive("epsilon", self.epsilon)

    @property
    def most_paths(self) -> int:
        """Hidden neurons that one sum can have."""
        both = self.signs == "as_drawn" and self.activation.behaviour().has_kink
        return min(self.max_paths, self.n * (1 + both))

    def paths(self, layer: WeightLayer, split: Drawn, random: TwoLayerExpansion, seed: int) -> Paths:
        """The hidden neurons of one layer, and what each can be used for."""
        twin, constant = layer.weight in random.twins, has_constant(layer)
        first = own_edges(split, random.width(layer), seed)
        first = first_factors(first, self.activation.behaviour(), twin, constant)
        usable = usable_neurons(first, twin, self.signs, self.max_paths, constant)
        return Paths(first=first, usable=usable, neurons_last=True)

    def shares(self, layer: WeightLayer, random: TwoLayerExpansion) -> tuple[float, ...]:
        """How much each of the layer's sums, one or two, counts for its inputs, of both signs unless they have one."""
        if layer.weight not in random.twins:
            return (1.0,)
        known = self.activation.behaviour()
        slopes = np.array([known.positive, known.negative]) / (known.positive + known.negative)
        return tuple(slopes.tolist()) if layer.never_negative else (0.5, 0.5)


def expand(
    problem: Problem,
    recorder: Recorder,
    layout: Layout,
    label: str,
    choose: Choose,
    compensation: Compensation | None = None,
) -> Found:
    """The pruned random network, and as its facts n, unsolved, and the gain of every layer that has one.

    Args:
        compensation: how weights of a row take up the errors of those chosen before; None: not at all.

    Raises:
        ConfigError: no target, a network without a layer to replace, a distribution without one of the signs, or
            nothing to calibrate on where that is asked for.
    """
    problem = prepared(problem)
    (target,) = problem.need("target")
    layers = _replaced(problem, layout)
    targets = {layer.name: LayerTargets.of(layer, target) for layer in layers}
    random = _random_network(problem, layout, layers)
    drawn = _drawn(target, layout, random)
    gains = {layer.weight: _gain(layer, targets[layer.name], layout, random, drawn) for layer in layers}
    random = replace(random, gains=gains)
    solver = SumSolver(problem.streams.seed, layout.epsilon, choose)
    masks: dict[str, Mask] = {}
    instances = sum(_instances(layer, targets[layer.name], random) for layer in layers)
    with recorder.progress(label, instances) as bar:
        every = []
        for layer in layers:
            split, total = (f"{layer.name}.{which}.weight" for which in ("split", "sum"))
            paths = layout.paths(layer, drawn[split], random, problem.streams.seed)
            masks[split] = block_diagonal(np.any(paths.usable, axis=0), drawn[split].shape)
            own, gain = targets[layer.name], random.gains[layer.weight]
            shares = layout.shares(layer, random)
            every.append(
                ExpandedLayer(layer=layer, targets=own, total=drawn[total], paths=paths, gain=gain, shares=shares)
            )
        aware = compensated_paths(problem, every, solver, compensation, recorder, bar) if compensation else {}
        for each in every:
            name, groups = each.layer.name, each.layer.groups
            mask = aware.get(name) or solver.mask(each.total, each.paths, each.targets, each.gain, bar, groups)
            masks[f"{name}.sum.weight"] = mask
    warn_of_unsolved(label, solver.unsolved, instances, recorder)
    facts = {"n": layout.n, "unsolved": solver.unsolved}
    facts |= {f"gain/{name}": gain for name, gain in random.gains.items() if gain != 1}
    weights = _sources(random, drawn, target)
    ticket = Ticket(architecture=random, seed=problem.streams.seed, weights=weights, masks=masks, facts=facts)
    return Found(ticket=ticket, times={"solve_time_s": solver.solve_time})


def count_offered(network: Architecture, layout: Layout) -> int:
    """Random numbers in the random network for a target of this architecture; see `Offers`."""
    problem = Problem(network=network, target=None, data=None, streams=Streams(0), device="cpu")
    random = _random_network(problem, layout, _replaced(problem, layout))
    shapes = parameter_shapes(random)
    return sum(math.prod(shapes[name]) for name in _random_names(random))


def positive_inputs(problem: Problem) -> bool:
    """Whether no input of the dataset, training or test, has a negative entry."""
    return problem.data is not None and problem.data.never_negative()


def _replaced(problem: Problem, layout: Layout) -> list[WeightLayer]:
    """The layers that become two."""
    (network,) = problem.need("network")
    return replaced(weight_layers(network, positive_inputs=positive_inputs(problem)), layout.stored)


def check_layers(network: Architecture, patterns: Sequence[str]) -> None:
    """Refuses a network without a layer to replace; see `Checked.check`."""
    replaced(weight_layers(folded(network)), patterns)


def replaced(layers: Sequence[WeightLayer], patterns: Sequence[str]) -> list[WeightLayer]:
    """The layers but for those that are stored."""
    names = without([layer.weight for layer in layers], patterns)
    found = [layer for layer in layers if layer.weight in names]
    if not found:
        raise ConfigError("the network has no linear or convolutional layer that could be approximated")
    if not all(layer.name for layer in found):
        raise ConfigError("the network is one layer without a name of its own: wrap it in torch.nn.Sequential")
    return found


def _instances(layer: WeightLayer, targets: LayerTargets, random: TwoLayerExpansion) -> int:
    """Subset-sum problems of one layer: one per weight and sign of its input; a bias has one."""
    twin = layer.weight in random.twins
    return layer.outputs * (len(targets.coordinate) * (1 + twin) - (twin and has_constant(layer)))


def _random_network(problem: Problem, layout: Layout, layers: list[WeightLayer]) -> TwoLayerExpansion:
    """The random network, without gains yet."""
    (network,) = problem.need("network")
    single, kink = layout.halves == "positive", layout.activation.behaviour().has_kink
    return TwoLayerExpansion(
        target=network,
        n=layout.n,
        twins=[layer.weight for layer in layers if kink and not (single and layer.never_negative)],
        gains={layer.weight: 1.0 for layer in layers},
        activation=layout.activation,
    )


def _drawn(target: Mapping[str, np.ndarray], layout: Layout, random: TwoLayerExpansion) -> dict[str, Drawn]:
    span = target_range(target, [name for layer in random.layers for name in (layer.weight, layer.bias) if name])
    own, first = _random_names(random), {f"{layer.name}.split.weight" for layer in random.layers}
    return {
        name: Drawn(
            shape=shape,
            distribution=layout.distribution.fitted(shape, span),
            stream=(name,),
            scale=layout.scale if name in first else 1.0,
        )
        for name, shape in parameter_shapes(random).items()
        if name in own
    }


def _random_names(random: TwoLayerExpansion) -> set[str]:
    return {f"{layer.name}.{which}.weight" for layer in random.layers for which in ("split", "sum")}


def _sources(
    random: TwoLayerExpansion, drawn: Mapping[str, Drawn], target: Mapping[str, np.ndarray]
) -> dict[str, Source]:
    """What is random is drawn, and everything else is the target's own."""
    _, renamed = unpack_(skeleton(random.target))
    return {
        name: drawn[name] if name in drawn else stored(target[renamed.get(name, name)]) for name in state_shapes(random)
    }


def _gain(
    layer: WeightLayer, targets: LayerTargets, layout: Layout, random: TwoLayerExpansion, drawn: Mapping[str, Drawn]
) -> float:
    twin, behaviour = layer.weight in random.twins, layout.activation.behaviour()
    unit = unit_gain(behaviour, twin, layout.scale)
    if layout.gains == "none":
        return unit
    split, total = (drawn[f"{layer.name}.{which}.weight"].distribution for which in ("split", "sum"))
    neurons = layout.n * (1 + (twin and layout.signs == "as_drawn"))
    if layout.matching is None or layout.gains == "fitted":
        return unit * max(1.0, targets.largest / reach(split, total, neurons, layout.max_paths, twin, behaviour))
    size, largest = np.array(targets.size), np.array(targets.largest)
    sums = products(split, total, neurons, layout.max_paths, twin, behaviour)
    return unit * (float(layout.matching.scale(size, largest, *sums)) or 1.0)


def own_edges(split: Drawn, width: int, seed: int) -> np.ndarray:
    """(coordinates, width): what each hidden neuron multiplies its own coordinate with; the only edges ever kept.

    Where the coordinates come several times, as to each head of an attention, they stand one after the other.
    """
    hidden, coordinates = split.shape[:2]
    own = np.empty(hidden)
    step = max(1, BLOCK // coordinates)
    for start in range(0, hidden, step):
        neuron = np.arange(start, min(start + step, hidden))
        drawn = split.draw(seed, start * coordinates, neuron.size * coordinates).reshape(-1, coordinates)
        own[neuron] = drawn[neuron - start, neuron // width % coordinates]
    return own.reshape(-1, width)


def block_diagonal(kept: np.ndarray, shape: tuple[int, ...]) -> Mask:
    """The mask of the first weights: neuron i of coordinate j keeps its edge to j if kept[j, i], and no other."""
    hidden, coordinates = shape[:2]
    neuron = np.flatnonzero(kept)
    entry = neuron * coordinates + neuron // kept.shape[1] % coordinates
    bits = np.zeros(-(-hidden * coordinates // 8), np.uint8)
    np.bitwise_or.at(bits, entry // 8, (128 >> entry % 8).astype(np.uint8))
    return Mask(shape, bits)
