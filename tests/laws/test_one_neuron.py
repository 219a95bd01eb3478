"""Masks for one ReLU neuron: the error is the largest there is, and the best mask is the best of all."""

import itertools

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.laws.one_neuron.neuron_mask import Network, best_neurons
from lth_runner.laws.one_neuron.surface import surface
from lth_runner.laws.one_neuron.weight_mask import product_mask_error
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

FINE = {1: 2, 2: 20_001, 3: 301}  # points along each axis of a face


def network(inputs: int, neurons: int, seed: int) -> Network:
    generator = np.random.default_rng([inputs, seed])
    first, second = generator.uniform(-1, 1, (neurons, inputs)), generator.uniform(-1, 1, neurons)
    return Network(first, second, generator.uniform(-1, 1, inputs))


def sampled(one: Network, mask: np.ndarray) -> float:
    """The largest difference on a fine grid over the surface of the cube."""
    inputs, worst = one.target.size, 0.0
    axis = np.linspace(-1, 1, FINE[inputs])
    face = np.array(list(itertools.product(axis, repeat=inputs - 1))).reshape(len(axis) ** (inputs - 1), inputs - 1)
    for j, side in itertools.product(range(inputs), (-1.0, 1.0)):
        x = np.insert(face, j, side, axis=1)
        outputs = np.maximum(x @ one.first.T, 0) @ (one.second * mask)
        worst = max(worst, float(np.abs(np.maximum(outputs, 0) - np.maximum(x @ one.target, 0)).max()))
    return worst


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_the_error_is_the_largest_over_all_inputs(inputs: int) -> None:
    for seed in range(6):
        one = network(inputs, 7, seed)
        mask = np.random.default_rng(seed).integers(2, size=7) > 0
        slope = np.abs(one.second) @ np.abs(one.first).sum(1) + np.abs(one.target).sum()
        exact, found = one.error(mask), sampled(one, mask)
        assert found - 1e-12 <= exact <= found + slope / (FINE[inputs] - 1) + 1e-12
        if inputs < 3:
            assert exact == pytest.approx(found, abs=1e-3)


def test_an_error_where_the_output_is_cut_off_between_two_kinks_is_seen() -> None:
    """relu(x1) - 2 relu(x2) falls below 0 at (1, 1/2), between two corners, where the target is 3/4."""
    one = Network(np.eye(2), np.array([1.0, -2.0]), np.array([1.0, -0.5]))
    assert one.error(np.ones(2, bool)) == pytest.approx(0.75)  # and 1/2 at the corners


def test_pieces_of_the_surface() -> None:
    assert surface(np.ones((3, 1))).points.shape == (4, 1)
    square = surface(np.array([[1.0, 0.0]]))  # four sides, two of them cut
    assert len(square.points) == 10
    assert np.count_nonzero(square.linked) == 6
    cube = surface(np.array([[1.0, 0.5, 0.25]]))
    crossed = cube.points[np.abs(cube.points @ [1.0, 0.5, 0.25]) < 1e-12]
    assert len(crossed) == 4 + 2 * 4  # of the edges, and the ends of the lines across four faces
    with pytest.raises(ConfigError, match="up to d=3 inputs"):
        surface(np.ones((2, 4)))


@pytest.mark.parametrize(("inputs", "neurons"), [(1, 9), (2, 9), (3, 7)])
def test_the_best_mask_is_the_best_of_all(inputs: int, neurons: int) -> None:
    for seed in range(5):
        one = network(inputs, neurons, seed)
        every = [np.array(mask, bool) for mask in itertools.product((0, 1), repeat=neurons)]
        best = best_neurons(one, np.zeros(neurons, bool), 10**6)
        assert best.proved
        assert best.error == pytest.approx(min(map(one.error, every)), abs=1e-12)
        assert one.error(best.mask) == pytest.approx(best.error, abs=1e-12)


def test_a_search_that_is_stopped_proves_nothing_and_forgets_nothing() -> None:
    one = network(2, 20, 0)
    whole = best_neurons(one, np.zeros(20, bool), 10**7)
    stopped = best_neurons(one, np.zeros(20, bool), 100)
    assert whole.proved and not stopped.proved
    assert whole.error < stopped.error
    again = best_neurons(one, whole.mask, 100)
    assert again.error == pytest.approx(whole.error)
    np.testing.assert_array_equal(again.mask, whole.mask)


def test_only_what_is_below_a_bound_is_looked_for() -> None:
    one, start = network(2, 12, 1), np.zeros(12, bool)
    best = best_neurons(one, start, 10**6)
    same = best_neurons(one, start, 10**6, best.error * 1.01)
    np.testing.assert_array_equal(same.mask, best.mask)
    none = best_neurons(one, start, 10**6, best.error)
    assert none.proved and not none.mask.any()
    assert none.error == one.error(start) > best.error


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_a_weight_mask_is_one_of_the_network(inputs: int) -> None:
    """The construction, rebuilt as masks over all weights: one first weight of each neuron, some second weights."""
    one = network(inputs, 12, 3)
    first, second = np.zeros_like(one.first), np.zeros(12, bool)
    for i in range(12):
        first[i, i % inputs] = one.first[i, i % inputs]
    products = one.second * first.sum(1)
    for j, sign in itertools.product(range(inputs), (1, -1)):
        here = np.flatnonzero(sign * first[:, j] > 0)
        subsets = [np.array(s, int) for k in range(len(here) + 1) for s in itertools.combinations(here, k)]
        second[min(subsets, key=lambda s: abs(products[s].sum() - one.target[j]))] = True
    pruned = Network(first, one.second, one.target)
    assert product_mask_error(one, MeetInMiddle()) == pytest.approx(pruned.error(second), abs=1e-12)


def test_with_one_input_both_masks_are_the_same() -> None:
    for seed in range(5):
        one = network(1, 14, seed)
        best = best_neurons(one, np.zeros(14, bool), 10**6)
        assert best.error == pytest.approx(product_mask_error(one, MeetInMiddle()), abs=1e-12)
