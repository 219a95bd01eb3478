"""Burkholz' construction as a network: a random one just one layer deeper, with copies of every hidden neuron."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lth_runner.construct.expansion import SIGNS, block_diagonal, own_edges, positive_inputs
from lth_runner.construct.matching import Matching, sums
from lth_runner.construct.paths import (
    LayerTargets,
    check_activation,
    first_factors,
    products,
    unit_gain,
    usable_neurons,
)
from lth_runner.construct.prepare import folded, prepared, stored, target_range
from lth_runner.construct.substitution import offered_per_weight
from lth_runner.construct.sums import Paths, SumSolver, warn_of_unsolved
from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.activations import Activation
from lth_runner.networks.interface import Architecture, num_parameters, parameter_shapes, state_shapes
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.networks.two_layer_expansion import has_constant
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.interface import OBJECTIVES, Subsets, SubsetSumSolver, check_licence, check_size
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source
from lth_runner.ticket.ticket import Ticket

REACH = 0.2  # share of what sums reach that the largest weight takes, where numbers may be large: no copies differ


@dataclass(frozen=True, kw_only=True)
class Burkholz:
    """w ~ sum over a subset of the n copies c of its input of b_c, for every copy of the neuron that w leads to.

    Each copy of a neuron has weights of its own, so n copies cost n times the sums and n^2 times the weights of a
    layer, where `Pensia` pays with depth. Only the first layer, whose input has no copies, takes products as there.
    Copies differ from their neuron: if each copy of h_j is within delta of it and |sum of kept b_c - w| <= epsilon,
    then the sum of kept b_c h_jc is within epsilon |h_j| + delta (sum of kept |b_c|) of w h_j. Subsets of many terms
    therefore magnify the errors of the layer before, which "sparsest" subsets do less, and smaller random numbers, too:
    sums over k numbers of size s make s sqrt(k) of independent errors delta, where w itself would make w of a common
    one. With numbers in the scale of the weights (`gains`) that is a small factor, without it is up to s sqrt(k) / w.

    A weight of a convolution, one per output channel, input channel and tap, is a sum over the copies of its input
    channel at that tap, as a convolution is linear in every tap. Residual connections carry copy c on to copy c (see
    `NeuronCopies`). So a network of depth L, of the longest of its paths, becomes one of depth L + 1.

    Reference: Burkholz, ICML 2022 (arXiv:2205.02343) and NeurIPS 2022 (arXiv:2205.02321), of which the abstracts, the
    idea and the code were known here, not the proofs and tables: how residual blocks are treated, and the scales, are
    our own. Differs from the paper's code: the subsets are the closest or sparsest, where it stops at the first within
    epsilon and draws anew where there is none; the first layer's weights follow the same law as all others; biases are
    sums over constants that every layer is given, not over neurons that carry one on.

    Attributes:
        objective: "closest" or "sparsest" (fewest terms within epsilon).
        n: copies of every hidden neuron.
        first_n: hidden neurons per input coordinate and sign in the first layer; None: as many.
        gains: "none": random numbers as the law has them, as in the theorem; "matched": those of a layer times one
            positive number, with which sums of them have the size of its weights; those of the first layer and of
            constants, whose inputs do not differ from copy to copy, times one that leaves no weight or bias out of
            reach.
        matching: how that number is chosen, where it is.
        twin: whether the first layer has neurons for negative inputs: "always", or "needed": only where there are such
            pixels.
        signs, max_paths, activation, scale: see `Layout`. Only the first layer's added neurons have them: behind it
            there are the target's own activations, of whatever kind.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    objective: str
    epsilon: float
    c: int
    n: int | None
    first_n: int | None
    gains: str
    matching: Matching
    twin: str
    signs: str
    max_paths: int
    activation: Activation
    scale: float
    distribution: Distribution
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        checks.choice("twin", self.twin, ("always", "needed"))
        checks.choice("signs", self.signs, SIGNS)
        checks.integer("max_paths", self.max_paths, at_least=1)
        checks.choice("gains", self.gains, ("none", "matched"))
        if self.first_n is not None:
            checks.integer("first_n", self.first_n, at_least=1)
        check_activation(self.activation, self.scale)
        n = offered_per_weight(self.n, self.c, self.epsilon)
        check_size(self.solver, min(n, self.max_paths))  # the copies that a sum behind the first layer may use

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        del data
        NeuronCopies(target=folded(network), n=1, copies=1, twin=True)
        first = self._neurons()[0] * (1 + (self.signs == "as_drawn"))
        check_licence(self.solver, min(max(first, self._neurons()[1]), self.max_paths))

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`."""
        problem = prepared(problem)
        network, target = problem.need("network", "target")
        random = self._random(network, problem)
        targets = {layer.name: LayerTargets.of(layer, target) for layer in random.layers}
        drawn = self._drawn(random, target)
        random = self._matched(random, targets, drawn)
        solver, masks = SumSolver(problem.streams.seed, self.epsilon, self._choose), dict[str, Mask]()
        targets = {layer.name: _copies(targets[layer.name], random.copies_behind(layer)) for layer in random.layers}
        total = sum(len(each.weight) * len(each.coordinate) for each in targets.values())
        label = f"{self.objective} sums over {random.copies} copies"
        with recorder.progress(label, total) as bar:
            for layer in random.layers:
                name, split = f"{layer.name}.sum.weight", f"{layer.name}.split.weight"
                paths = self._paths(layer, drawn.get(split), random, problem.streams.seed)
                if split in drawn:
                    masks[split] = block_diagonal(np.any(paths.usable, axis=0), drawn[split].shape)
                gain = random.gain if split in drawn else 1.0
                masks[name] = solver.mask(drawn[name], paths, targets[layer.name], gain, bar)
        weights: dict[str, Source] = {
            name: drawn[name] if name in drawn else stored(target[name]) for name in state_shapes(random)
        }
        warn_of_unsolved(label, solver.unsolved, total, recorder)
        facts = {"n": random.copies, "unsolved": solver.unsolved}
        facts |= {f"gain/{layer.weight}": random.gain for layer in random.first if random.gain != 1}
        facts |= {f"scale/{name}": scale for name, scale in (random.scales or {}).items()}
        ticket = Ticket(architecture=random, seed=problem.streams.seed, weights=weights, masks=masks, facts=facts)
        return Found(ticket=ticket, times={"solve_time_s": solver.solve_time})

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        return num_parameters(self._random(folded(network), None))

    def _neurons(self) -> tuple[int, int]:
        """Hidden neurons per input coordinate and sign in the first layer, and copies of every neuron behind it."""
        n = offered_per_weight(self.n, self.c, self.epsilon)
        return self.first_n or n, n

    def _random(self, network: Architecture, problem: Problem | None) -> NeuronCopies:
        """The random network, without scales yet; without a problem, one for inputs of any sign."""
        n, copies = self._neurons()
        random = NeuronCopies(target=network, n=n, copies=copies, twin=True)
        behaviour = self.activation.behaviour()
        twin = behaviour.has_kink and (self.twin == "always" or problem is None or _takes_negatives(random, problem))
        gain = unit_gain(behaviour, twin, self.scale)
        return replace(random, twin=twin, activation=self.activation, gain=gain)

    def _matched(
        self, random: NeuronCopies, targets: Mapping[str, LayerTargets], drawn: Mapping[str, Drawn]
    ) -> NeuronCopies:
        """The random network with its gain and scales, where there are to be any."""
        if self.gains == "none":
            return random
        behaviour, gain, scales = self.activation.behaviour(), 1.0, dict[str, float]()
        for layer in random.layers:
            own, law = targets[layer.name], drawn[f"{layer.name}.sum.weight"].distribution
            if layer in random.first:
                split = drawn[f"{layer.name}.split.weight"].distribution
                reached = products(split, law, random.n, self.max_paths, random.twin, behaviour)
                gain = max(gain, own.largest / (REACH * reached[1]))
            else:
                weights, biases = np.split(own.weight, [layer.inputs], axis=1)
                spread, top = sums(law, min(random.copies, self.max_paths), "zero_one", False)
                size, largest = np.sqrt(np.mean(weights**2)), np.abs(weights).max()
                scales[layer.weight] = float(self.matching.scale(size, largest, spread, top)) or 1.0
                if layer.bias:
                    scales[layer.bias] = max(1.0, float(np.abs(biases).max()) / (REACH * top))
        return replace(random, gain=random.gain * gain, scales=scales)

    def _drawn(self, random: NeuronCopies, target: Mapping[str, np.ndarray]) -> dict[str, Drawn]:
        span = target_range(target, [name for layer in random.layers for name in (layer.weight, layer.bias) if name])
        first = {f"{layer.name}.split.weight" for layer in random.first}
        return {
            name: Drawn(
                shape=shape,
                distribution=self.distribution.fitted(shape, span),
                stream=(name,),
                scale=self.scale if name in first else 1.0,
            )
            for name, shape in parameter_shapes(random).items()
        }

    def _paths(self, layer: WeightLayer, split: Drawn | None, random: NeuronCopies, seed: int) -> Paths:
        """Of the first layer, its hidden neurons; of the others, the copies of their inputs, summed as they are."""
        constant = has_constant(layer)
        if split is not None:
            first = own_edges(split, random.n * (1 + random.twin), seed)
            first = first_factors(first, self.activation.behaviour(), random.twin, constant)
            usable = usable_neurons(first, random.twin, self.signs, self.max_paths, constant)
            return Paths(first=first, usable=usable, neurons_last=True)
        first = np.ones((layer.inputs + constant, random.copies))
        first[: layer.inputs], first[layer.inputs :] = random.factors(layer)
        usable = usable_neurons(first, False, self.signs, self.max_paths, constant)
        return Paths(first=first, usable=usable, neurons_last=False)

    def _choose(self, values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
        return self.solver.solve(values, targets, epsilon, self.objective)


def _takes_negatives(random: NeuronCopies, problem: Problem) -> bool:
    """Whether a layer that takes the network's own inputs may meet negative ones."""
    first = {layer.name for layer in random.first}
    known = weight_layers(random.target, positive_inputs=positive_inputs(problem))
    return not all(layer.never_negative for layer in known if layer.name in first)


def _copies(targets: LayerTargets, copies: int) -> LayerTargets:
    """What a layer asks for, once for each copy of its outputs."""
    return replace(targets, weight=np.tile(targets.weight, (copies, 1, 1)))
