"""Otsuka et al.'s construction: a random multi-head attention, pruned until it is the target's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lth_runner.construct.expansion import Layout, block_diagonal, count_offered, expand, own_edges
from lth_runner.construct.paths import LEVELS, LayerTargets
from lth_runner.construct.prepare import folded, prepared, stored, target_range, without
from lth_runner.construct.substitution import offered_per_weight
from lth_runner.construct.sums import Choose, Paths, SumSolver, warn_of_unsolved
from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.activations import RELU
from lth_runner.networks.attention import packed_attentions
from lth_runner.networks.attention_expansion import PRODUCTS, AttentionExpansion
from lth_runner.networks.interface import Architecture, parameter_shapes, skeleton, state_shapes
from lth_runner.networks.layers import weight_layers
from lth_runner.networks.merged_attention import MergedAttention
from lth_runner.problem import Found, Problem
from lth_runner.resources import CORES, Resources
from lth_runner.subset_sum.interface import OBJECTIVES, Subsets, SubsetSumSolver, check_licence
from lth_runner.ticket.source import Drawn, Source
from lth_runner.ticket.ticket import Ticket

GAINS = ("fitted", "none")


@dataclass(frozen=True, kw_only=True)
class Attention:
    """(W_q^T W_k)_ij ~ sum over a subset of the key dimensions c of coordinate i of q_ci k_cj; of values likewise.

    A head depends on its projections through two products alone, that of queries and keys and that of values and
    outputs, which `MergedAttention` holds. Of the random queries, dimension c keeps its weight of one coordinate i, and
    which random keys k_cj are kept decides about entry (i, j): one sum of n products for each entry. Between the two is
    no ReLU, so that no product is lost to a sign, and inputs of both signs have one sum. The linear and convolutional
    layers of the network, those behind the attentions among them, become two by Pensia's pairs, see `Pensia`.

    What is certified are the entries of the products. If all are within epsilon, the score that token y has for token x
    changes by at most epsilon (|x|_1 + 1) |y|_1 times the target's scale, however many tokens there are.

    Reference: Otsuka et al., AAAI 2026 (arXiv:2511.04217), of which the abstract and the idea were known here, not the
    proof. Differs from the paper: subset sums are solved exactly for a given n, where the theorem asks for keys and
    values of width n d with n of the order of log(heads d^1.5 / epsilon); weights follow any distribution, where it
    scales them; biases, masks of tokens and gains are additions, and layer norms, which it does not have, are stored as
    they are. Other layers, of which its blocks have two behind an attention, become two as in Pensia's theorem.

    Attributes:
        objective: "closest" or "sparsest" (fewest products within epsilon).
        n: products for each entry: dimensions of keys and values for each coordinate; of other layers see `Layout`.
        stored: patterns of weight names ("head.*") of other layers that are not approximated but stored.
        halves, signs: of other layers, see `Layout`.
        gains: "fitted": a product or layer whose largest entry is out of reach gets a gain above 1; "none".
        max_paths: products that one sum may use.
    """

    needs_target: ClassVar[bool] = True
    resources: ClassVar[Resources] = CORES
    objective: str
    epsilon: float
    c: int
    n: int | None
    stored: list[str]
    halves: str
    signs: str
    gains: str
    max_paths: int
    distribution: Distribution
    solver: SubsetSumSolver

    def __post_init__(self) -> None:
        checks.choice("objective", self.objective, OBJECTIVES)
        checks.choice("gains", self.gains, GAINS)
        self._layout()

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """See `Checked.check`."""
        del data
        self._others(merged(folded(network)))
        check_licence(self.solver, self._layout().most_paths)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket, certified; see `Method.find`."""
        layout, problem = self._layout(), merged_problem(prepared(problem))
        network, target = problem.need("network", "target")
        label = f"{self.objective} sums of products, n = {layout.n}"
        if self._others(network):
            rest = expand(problem, recorder, layout, label, self._choose)
        else:
            rest = _untouched(network, target, problem.streams.seed)
        return expand_attentions(problem, recorder, layout, f"attention: {label}", rest, self._choose)

    def offered(self, network: Architecture) -> int:
        """See `Offers`."""
        products, layout = merged(network), self._layout()
        random = _random_network(products, layout)
        shapes = parameter_shapes(random)
        own = sum(math.prod(shapes[name]) for _, *parts in random.random_names() for name in parts)
        return own + (count_offered(products, layout) if self._others(products) else 0)

    def _others(self, network: MergedAttention) -> list[str]:
        """The weights of other layers that are approximated."""
        return without([layer.weight for layer in weight_layers(network)], self.stored)

    def _layout(self) -> Layout:
        return Layout(
            n=offered_per_weight(self.n, self.c, self.epsilon),
            halves=self.halves,
            signs=self.signs,
            gains=self.gains,
            matching=None,
            max_paths=self.max_paths,
            epsilon=self.epsilon,
            stored=self.stored,
            activation=RELU,
            scale=1.0,
            distribution=self.distribution,
        )

    def _choose(self, values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
        return self.solver.solve(values, targets, epsilon, self.objective)


def merged(network: Architecture) -> MergedAttention:
    """The network whose attentions are products.

    Raises:
        ConfigError: it has no attention.
    """
    if not packed_attentions(skeleton(network)):
        raise ConfigError(
            "the network has no torch.nn.MultiheadAttention whose keys and values are as wide as its queries: take "
            "method=pensia, or network=vit"
        )
    return MergedAttention(original=network)


def merged_problem(problem: Problem) -> Problem:
    """The same problem of that network and its target."""
    network, target = problem.need("network", "target")
    products = merged(network)
    return replace(problem, network=products, target=products.folded(target))


def expand_attentions(
    problem: Problem, recorder: Recorder, layout: Layout, label: str, rest: Found, choose: Choose
) -> Found:
    """The ticket of the rest of the network, with random attentions in place of the products that it stores.

    Args:
        problem: of a `MergedAttention`.
        rest: approximates all that is to be, but for these products.
    """
    (target,) = problem.need("target")
    seed, ticket = problem.streams.seed, rest.ticket
    random = _random_network(ticket.architecture, layout)
    drawn = _drawn(target, layout, random)
    if layout.gains != "none":
        gains = {name: _gain(target[name], layout, drawn[a], drawn[b]) for name, a, b in random.random_names()}
        random = replace(random, gains=gains)
    solver, masks = SumSolver(seed, layout.epsilon, choose), dict(ticket.masks)
    total = sum(target[name].size for name in random.gains)
    with recorder.progress(label, total) as bar:
        for name, split, last in random.random_names():
            first = own_edges(drawn[split], layout.n, seed)
            usable = (first != 0) & ((first != 0).cumsum(axis=1) <= layout.max_paths)
            masks[split] = block_diagonal(usable, drawn[split].shape)
            paths = Paths(first=first, usable=[usable], neurons_last=True)
            masks[last] = solver.mask(drawn[last], paths, _targets(target[name]), random.gains[name], bar)
    warn_of_unsolved(label, solver.unsolved, total, recorder)
    facts = {**ticket.facts, "n": layout.n, "unsolved": ticket.facts.get("unsolved", 0) + solver.unsolved}
    facts |= {f"gain/{name}": gain for name, gain in random.gains.items() if gain != 1}
    weights: dict[str, Source] = {
        name: drawn[name] if name in drawn else ticket.weights[name] for name in state_shapes(random)
    }
    found = Ticket(architecture=random, seed=seed, weights=weights, masks=masks, facts=facts)
    return Found(ticket=found, times={"solve_time_s": rest.times.get("solve_time_s", 0.0) + solver.solve_time})


def _untouched(network: Architecture, target: Mapping[str, np.ndarray], seed: int) -> Found:
    """The ticket that stores the target."""
    weights: dict[str, Source] = {name: stored(target[name]) for name in state_shapes(network)}
    return Found(ticket=Ticket(architecture=network, seed=seed, weights=weights, masks={}))


def _random_network(rest: Architecture, layout: Layout) -> AttentionExpansion:
    """The random network, without gains yet."""
    names = [name for name in state_shapes(rest) if name.rpartition(".")[2] in PRODUCTS]
    return AttentionExpansion(rest=rest, n=layout.n, gains=dict.fromkeys(names, 1.0))


def _drawn(target: Mapping[str, np.ndarray], layout: Layout, random: AttentionExpansion) -> dict[str, Drawn]:
    span, shapes = target_range(target, list(random.gains)), parameter_shapes(random)
    return {
        name: Drawn(shape=shapes[name], distribution=layout.distribution.fitted(shapes[name], span), stream=(name,))
        for _, *parts in random.random_names()
        for name in parts
    }


def _gain(product: np.ndarray, layout: Layout, first: Drawn, second: Drawn) -> float:
    """1, or what brings the largest entry within half of the sum that all products of one sign are expected to have.

    Raises:
        ConfigError: one of the signs is never drawn.
    """
    a, b = (each.distribution.quantile(LEVELS) for each in (first, second))
    (up, down), (up_too, down_too) = ((np.maximum(x, 0).mean(), np.maximum(-x, 0).mean()) for x in (a, b))
    one_sign = float(min(up * up_too + down * down_too, up * down_too + down * up_too))
    if one_sign == 0:
        raise ConfigError(
            f"{layout.distribution} gives products of one sign only, so that entries of the other are lost"
        )
    return max(1.0, float(np.abs(product).max()) / (0.5 * min(layout.n, layout.max_paths) * one_sign))


def _targets(product: np.ndarray) -> LayerTargets:
    """What is asked of the sums: column j of a product is row j of the second tensor, its coordinates head by head."""
    weight = product.transpose(2, 0, 1).reshape(product.shape[2], -1, 1)
    coordinate = np.arange(weight.shape[1])
    return LayerTargets(weight=weight, coordinate=coordinate, tap=np.zeros_like(coordinate))
