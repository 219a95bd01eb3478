"""A mask over single weights, as the theorem of weight pruning constructs it: products along paths."""

import numpy as np

from lth_runner.laws.one_neuron.neuron_mask import Network
from lth_runner.subset_sum.interface import SubsetSumSolver


def product_mask_error(network: Network, solver: SubsetSumSolver) -> float:
    """The largest |output - target's| over [-1, 1]^d of a network with single weights pruned.

    Hidden neuron i keeps the first weight of input i mod d alone, so that it is relu(u x_j): for positive x_j it adds
    v u x_j if u > 0, for negative ones if u < 0. For each sign a subset of these products closest to w_j is kept. As a
    mask over all weights this is one of many: the best error is at most this one.

    Reference: arXiv:2006.07990, Lemma 1; its network has a ReLU behind the sums, as here.
    """
    inputs = network.target.size
    first, second = [], []
    for j, sign in ((j, sign) for j in range(inputs) for sign in (1.0, -1.0)):
        here = slice(j, None, inputs)
        products = (network.second[here] * network.first[here, j])[sign * network.first[here, j] > 0]
        chosen = np.zeros(0, bool)
        if products.size:
            chosen = solver.solve(products[None], network.target[j : j + 1], 1.0, "closest").chosen[0]
        first.append(sign * np.eye(inputs)[j])
        second.append(sign * products[chosen].sum())
    pruned = Network(np.array(first), np.array(second), network.target)
    return pruned.error(np.ones(2 * inputs, bool))
