"""Burkholz' construction as a network: a random one just one layer deeper, with copies of every hidden neuron."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lth_runner.construct.expansion import SIGNS, block_diagonal, never_negative, own_edges
from lth_runner.construct.paths import Wanted, halves
from lth_runner.construct.substitution import offered_per_weight
from lth_runner.construct.sums import Paths, Search
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.problem import Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.interface import OBJECTIVES, Subsets, SubsetSumSolver
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Burkholz:
    """w ~ sum over a subset of the n copies c of its input of b_c, for every copy of the neuron that w leads to.

    Each copy of a neuron has weights of its own, so n copies cost n times the sums and n^2 times the weights of a
    layer, where `Pensia` pays with depth. Only the first layer, whose input has no copies, takes products as there.
    Copies differ from their neuron: if each copy of h_j is within delta of it and |sum of kept b_c - w| <= epsilon,
    then the sum of kept b_c h_jc is within epsilon |h_j| + delta (sum of kept |b_c|) of w h_j. Subsets of many terms
    therefore magnify the errors of the layer before, which "sparsest" subsets do less.

    Reference: Burkholz, ICML 2022 (arXiv:2205.02343) and NeurIPS 2022 (arXiv:2205.02321), of which the idea and the
    code were known here, not the tables. Differs from the paper: the subsets are the closest or sparsest, where its
    code stops at the first within epsilon and draws anew where there is none; the first layer's weights follow the same
    law as all others; biases are sums over constants that every layer is given, not over neurons that carry one on.

    Attributes:
        objective: "closest" or "sparsest" (fewest terms within epsilon).
        n: copies of every hidden neuron; in the first layer, hidden neurons per input coordinate and sign.
        twin: whether the first layer serves negative inputs: "always", or "needed": only where pixels are negative.
        signs, max_paths: see `Doubling`.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    objective: str
    epsilon: float
    c: int
    n: int | None
    twin: str
    signs: str
    max_paths: int
    distribution: Distribution
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        checks.choice("twin", self.twin, ("always", "needed"))
        checks.choice("signs", self.signs, SIGNS)
        checks.integer("max_paths", self.max_paths, at_least=1)
        offered_per_weight(self.n, self.c, self.epsilon)

    def find(self, problem: Problem, recorder: Recorder) -> Ticket:
        """The ticket, certified; see `Method.find`."""
        if problem.target is None or problem.network is None:
            raise ConfigError("this method approximates a target network and there is none: add target=trained")
        n, layers = offered_per_weight(self.n, self.c, self.epsilon), weight_layers(problem.network)
        twin = self.twin == "always" or layers[0].weight not in never_negative(layers, problem)
        random = NeuronCopies(target=problem.network, n=n, copies=n, twin=twin)
        every_weight = np.concatenate([weight.ravel() for weight in problem.target.values()])
        tensors = {
            name: RandomTensor(shape=shape, distribution=self.distribution.fitted(shape, every_weight), path=(name,))
            for name, shape in parameter_shapes(random).items()
        }
        search, masks = Search(problem.streams.seed, self.epsilon, self._choose), dict[str, Mask]()
        wanted = {layer.name: _copies(layer, problem.target, random.copies_behind(layer)) for layer in layers}
        total = sum(len(each.weight) * len(each.coordinate) for each in wanted.values())
        with recorder.progress(f"{self.objective} sums over {n} copies", total) as bar:
            for layer in layers:
                name = f"{layer.name}.sum.weight"
                paths = self._paths(layer, tensors, random, problem.streams.seed)
                if paths.neurons_last:
                    split = f"{layer.name}.split.weight"
                    masks[split] = block_diagonal(np.any(paths.serves, axis=0), tensors[split].shape)
                masks[name] = search.mask(tensors[name], paths, wanted[layer.name], 1.0, bar)
        facts = {"n": n, "solve_time_s": search.solve_time, "unsolved": search.unsolved}
        return Ticket(network=random, seed=problem.streams.seed, tensors=tensors, masks=masks, facts=facts)

    def _paths(self, layer: WeightLayer, tensors: dict[str, RandomTensor], random: NeuronCopies, seed: int) -> Paths:
        """Of the first layer, its hidden neurons; of the others, the copies of their inputs, summed as they are."""
        constant, split = layer.bias is not None, tensors.get(f"{layer.name}.split.weight")
        if split is not None:
            first = own_edges(split, random.n * (1 + random.twin), seed)
            serves = halves(first, random.twin, self.signs, self.max_paths, constant)
            return Paths(first=first, serves=serves, neurons_last=True)
        first = np.ones((layer.inputs + constant, random.copies))
        serves = halves(first, False, self.signs, self.max_paths, constant)
        return Paths(first=first, serves=serves, neurons_last=False)

    def _choose(self, values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
        return self.solver.solve(values, targets, epsilon, self.objective)


def _copies(layer: WeightLayer, target: dict[str, np.ndarray], copies: int) -> Wanted:
    """What a layer asks for, once for each copy of its outputs."""
    wanted = Wanted.of(layer, target)
    return replace(wanted, weight=np.tile(wanted.weight, (copies, 1, 1)))
