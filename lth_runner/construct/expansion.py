"""A target approximated by pruning a random network twice as deep, whoever chooses among the products of its weights.

What is pruned here is random, and nothing else computes the output: this is the theorem's network.
"""

from dataclasses import dataclass, replace

import numpy as np

from lth_runner.construct.paths import Wanted, halves, reach
from lth_runner.construct.sums import Choose, Paths, Search
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.problem import Problem
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket

HALVES = ("both", "positive")
SIGNS = ("reserved", "as_drawn")
GAINS = ("fitted", "none")
BLOCK = 1 << 20  # random numbers looked through at a time for those on the diagonal


@dataclass(frozen=True, kw_only=True)
class Doubling:
    """How the random network of twice the depth is laid out and used.

    Attributes:
        n: hidden neurons per input coordinate and sign of the input.
        halves: "both": neurons for positive and for negative inputs everywhere, as in the theorem; "positive": for
            positive inputs alone wherever the input is never negative (after a ReLU, or pixels that are not).
        signs: of the 2n neurons of a coordinate, "reserved": the first n serve positive inputs, the others negative
            ones, and those whose weight has the wrong sign are pruned, as in the theorem; "as_drawn": every neuron
            serves the inputs of the sign its weight happens to have. Equal where only positive inputs are served.
        gains: "fitted": a layer whose largest weight is out of reach of sums of products gets a gain above 1 that
            brings it within; "none": never, as in the theorem.
        max_paths: hidden neurons that one sum may use, since exact search takes 2^(max_paths / 2) steps; a coordinate's
            neurons beyond these are pruned.
        epsilon: absolute error allowed per target weight.
        distribution: of every random weight.
    """

    n: int
    halves: str
    signs: str
    gains: str
    max_paths: int
    epsilon: float
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        checks.choice("halves", self.halves, HALVES)
        checks.choice("signs", self.signs, SIGNS)
        checks.choice("gains", self.gains, GAINS)
        checks.integer("max_paths", self.max_paths, at_least=1)
        checks.positive("epsilon", self.epsilon)

    def paths(self, layer: WeightLayer, split: RandomTensor, random: TwoLayerExpansion, seed: int) -> Paths:
        """The hidden neurons of one layer, and which of them serve what."""
        first = own_edges(split, random.width(layer), seed)
        constant = layer.bias is not None
        serves = halves(first, layer.weight in random.twins, self.signs, self.max_paths, constant)
        return Paths(first=first, serves=serves, neurons_last=True)


def double(problem: Problem, recorder: Recorder, doubling: Doubling, label: str, choose: Choose) -> Ticket:
    """The pruned random network, and as its facts n, solve_time_s, unsolved, and the gain of every layer that has one.

    Raises:
        ConfigError: no target, a target that is no sequence of layers, or a distribution without one of the signs.
    """
    if problem.target is None or problem.network is None:
        raise ConfigError("this method approximates a target network and there is none: add target=trained")
    layers = weight_layers(problem.network)
    wanted = {layer.name: Wanted.of(layer, problem.target) for layer in layers}
    random = _random_network(problem, doubling, layers)
    tensors = _tensors(problem.target, doubling, random)
    if doubling.gains == "fitted":
        gains = {
            layer.weight: max(1.0, wanted[layer.name].largest / _reach(layer, doubling, random, tensors))
            for layer in layers
        }
        random = replace(random, gains=gains)
    search = Search(problem.streams.seed, doubling.epsilon, choose)
    masks: dict[str, Mask] = {}
    with recorder.progress(label, sum(_instances(layer, wanted[layer.name], random) for layer in layers)) as bar:
        for layer in layers:
            split, total = (f"{layer.name}.{which}.weight" for which in ("split", "sum"))
            paths = doubling.paths(layer, tensors[split], random, problem.streams.seed)
            masks[split] = block_diagonal(np.any(paths.serves, axis=0), tensors[split].shape)
            masks[total] = search.mask(tensors[total], paths, wanted[layer.name], random.gains[layer.weight], bar)
    facts = {"n": doubling.n, "solve_time_s": search.solve_time, "unsolved": search.unsolved}
    facts |= {f"gain/{name}": gain for name, gain in random.gains.items() if gain != 1}
    return Ticket(network=random, seed=problem.streams.seed, tensors=tensors, masks=masks, facts=facts)


def _instances(layer: WeightLayer, wanted: Wanted, random: TwoLayerExpansion) -> int:
    """Subset-sum problems of one layer: one per weight and sign of its input; a bias has one."""
    twin = layer.weight in random.twins
    return layer.outputs * (len(wanted.coordinate) * (1 + twin) - (twin and layer.bias is not None))


def _random_network(problem: Problem, doubling: Doubling, layers: list[WeightLayer]) -> TwoLayerExpansion:
    """The random network, without gains yet."""
    assert problem.network is not None, "checked by the caller"
    spared = never_negative(layers, problem) if doubling.halves == "positive" else set()
    return TwoLayerExpansion(
        target=problem.network,
        n=doubling.n,
        twins=[layer.weight for layer in layers if layer.weight not in spared],
        gains={layer.weight: 1.0 for layer in layers},
    )


def never_negative(layers: list[WeightLayer], problem: Problem) -> set[str]:
    """Weight names of the layers whose input is known to have no negative entries, on whatever image of the dataset."""
    pixels_positive = problem.data is not None and problem.data.never_negative()
    return {layer.weight for layer in layers if layer.after_relu or (layer is layers[0] and pixels_positive)}


def _tensors(target: dict[str, np.ndarray], doubling: Doubling, random: TwoLayerExpansion) -> dict[str, RandomTensor]:
    every_weight = np.concatenate([weight.ravel() for weight in target.values()])
    return {
        name: RandomTensor(shape=shape, distribution=doubling.distribution.fitted(shape, every_weight), path=(name,))
        for name, shape in parameter_shapes(random).items()
    }


def _reach(
    layer: WeightLayer, doubling: Doubling, random: TwoLayerExpansion, tensors: dict[str, RandomTensor]
) -> float:
    twin = layer.weight in random.twins
    split, total = (tensors[f"{layer.name}.{which}.weight"].distribution for which in ("split", "sum"))
    return reach(split, total, doubling.n * (1 + (twin and doubling.signs == "as_drawn")), doubling.max_paths, twin)


def own_edges(split: RandomTensor, width: int, seed: int) -> np.ndarray:
    """(coordinates, width): what each hidden neuron multiplies its own coordinate with; the only edges ever kept."""
    hidden, coordinates = split.shape[:2]
    own = np.empty(hidden)
    step = max(1, BLOCK // coordinates)
    for start in range(0, hidden, step):
        neuron = np.arange(start, min(start + step, hidden))
        drawn = split.draw(seed, start * coordinates, neuron.size * coordinates).reshape(-1, coordinates)
        own[neuron] = drawn[neuron - start, neuron // width]
    return own.reshape(coordinates, width)


def block_diagonal(kept: np.ndarray, shape: tuple[int, ...]) -> Mask:
    """The mask of the first weights: neuron i of coordinate j keeps its edge to j if kept[j, i], and no other."""
    hidden, coordinates = shape[:2]
    neuron = np.flatnonzero(kept)
    entry = neuron * coordinates + neuron // kept.shape[1]
    bits = np.zeros(-(-hidden * coordinates // 8), np.uint8)
    np.bitwise_or.at(bits, entry // 8, (128 >> entry % 8).astype(np.uint8))
    return Mask(shape, bits)
