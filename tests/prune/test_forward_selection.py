"""Greedy forward selection against brute force, against planted neurons, and against laws of means."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lth_runner.prune.forward_selection import CrossEntropy, Neurons, Objective, Squares, greedy, in_order

IMAGES, NEURONS, CLASSES = 23, 9, 3


def drawn(seed: int = 0, neurons: int = NEURONS) -> Neurons:
    generator = np.random.default_rng(seed)
    return Neurons(
        hidden=torch.from_numpy(np.maximum(generator.normal(size=(IMAGES, neurons)), 0)),
        outgoing=torch.from_numpy(generator.normal(size=(neurons, CLASSES))),
        bias=torch.from_numpy(generator.normal(size=CLASSES)),
    )


def squares(neurons: Neurons) -> Objective:
    return Squares(neurons, neurons.whole())


def labels(neurons: Neurons) -> Objective:
    truth = torch.from_numpy(np.random.default_rng(5).integers(CLASSES, size=IMAGES))
    return CrossEntropy(neurons, torch.nn.functional.one_hot(truth, CLASSES).double())


def probabilities(neurons: Neurons) -> Objective:
    return CrossEntropy(neurons, (neurons.whole() + neurons.bias).softmax(1))


OBJECTIVES = [squares, labels, probabilities]


def plain_loss(neurons: Neurons, make: Any, weights: np.ndarray) -> float:
    """Of a selection, image by image, without any of the code under test."""
    hidden, outgoing, bias = (t.numpy() for t in (neurons.hidden, neurons.outgoing, neurons.bias))
    n, total = len(outgoing), 0.0
    truth = np.random.default_rng(5).integers(CLASSES, size=IMAGES)
    for x in range(IMAGES):
        logits = bias + sum(weights[i] * hidden[x, i] * outgoing[i] for i in range(n))
        whole = bias + sum(hidden[x, i] * outgoing[i] / n for i in range(n))
        if make is squares:
            total += float(((logits - whole) ** 2).sum())
            continue
        log_p = logits - math.log(np.exp(logits).sum())
        log_q = whole - math.log(np.exp(whole).sum())
        total += float(-log_p[truth[x]]) if make is labels else float((np.exp(log_q) * (log_q - log_p)).sum())
    return total / IMAGES


def moved(weights: np.ndarray, j: int, step: float) -> np.ndarray:
    found = (1 - step) * weights
    found[j] += step
    return found


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("make", OBJECTIVES)
def test_every_addition_is_the_one_that_brute_force_finds(make: Callable[..., Objective], repeats: bool) -> None:
    neurons, told = drawn(), list[float]()
    found = greedy(neurons, make(neurons), NEURONS, repeats=repeats, line_search=False, done=told.append)
    weights, taken = np.zeros(NEURONS), set[int]()
    for n in range(NEURONS):
        free = [j for j in range(NEURONS) if repeats or j not in taken]
        losses = {j: plain_loss(neurons, make, moved(weights, j, 1 / (n + 1))) for j in free}
        j = min(losses, key=lambda j: losses[j])
        assert found.order[n] == j
        assert found.losses[n] == pytest.approx(losses[j], rel=1e-9, abs=1e-12)
        weights = moved(weights, j, 1 / (n + 1))
        taken.add(j)
        np.testing.assert_allclose(found.weights(n + 1, NEURONS), weights, atol=1e-12)
    assert told == list(found.losses)


@pytest.mark.parametrize("make", OBJECTIVES)
def test_candidates_are_the_losses_of_all_moves(make: Callable[..., Objective]) -> None:
    neurons = drawn(1)
    weights = np.random.default_rng(2).dirichlet(np.ones(NEURONS))
    objective, sums = make(neurons), neurons.sums(torch.from_numpy(weights))
    assert objective.loss(sums) == pytest.approx(plain_loss(neurons, make, weights), rel=1e-9)
    wanted = [plain_loss(neurons, make, moved(weights, j, 0.3)) for j in range(NEURONS)]
    np.testing.assert_allclose(objective.candidates(sums, 0.3), wanted, rtol=1e-9)


def test_blocks_of_candidates_do_not_change_their_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons = drawn(1)
    whole = labels(neurons).candidates(neurons.whole(), 0.2)
    monkeypatch.setattr("lth_runner.prune.forward_selection.BLOCK", 2 * IMAGES * CLASSES)
    assert torch.equal(labels(neurons).candidates(neurons.whole(), 0.2), whole)


@pytest.mark.parametrize("make", OBJECTIVES)
def test_a_line_search_finds_the_best_step(make: Callable[..., Objective]) -> None:
    """On a fine grid of steps none is better; of squares all neurons and steps are compared together."""
    neurons = drawn(3)
    found = greedy(neurons, make(neurons), 4, repeats=True, line_search=True, done=lambda loss: None)
    grid = np.linspace(0, 1, 401)
    for n in range(1, 4):
        before = found.weights(n, NEURONS)
        tried = range(NEURONS) if make is squares else [int(found.order[n])]
        best = min(plain_loss(neurons, make, moved(before, j, step)) for j in tried for step in grid)
        assert found.losses[n] <= best + 1e-12
        assert found.losses[n] == pytest.approx(plain_loss(neurons, make, found.weights(n + 1, NEURONS)), rel=1e-9)
    assert (np.diff(found.losses) <= 1e-12).all(), "a step of 0 is always possible"


def test_neurons_that_make_the_outputs_are_found_among_others() -> None:
    """A wanted mean of three neurons, one of them twice, among twenty: its neurons, and a loss of 0."""
    neurons, planted = drawn(4, neurons=20), np.zeros(20)
    planted[[3, 7, 11]] = 0.25, 0.25, 0.5
    objective = Squares(neurons, neurons.sums(torch.from_numpy(planted)))
    found = greedy(neurons, objective, 4, repeats=True, line_search=False, done=lambda loss: None)
    np.testing.assert_allclose(found.weights(4, 20), planted, atol=1e-12)
    assert found.losses[3] == pytest.approx(0, abs=1e-18)


def test_all_neurons_once_are_the_whole_network() -> None:
    neurons = drawn()
    found = greedy(neurons, squares(neurons), NEURONS, repeats=False, line_search=False, done=lambda loss: None)
    assert sorted(found.order) == list(range(NEURONS))
    np.testing.assert_allclose(found.weights(NEURONS, NEURONS), 1 / NEURONS)
    assert found.losses[-1] == pytest.approx(0, abs=1e-24)


def test_neurons_in_a_given_order_are_means_of_them() -> None:
    neurons, order = drawn(), np.array([4, 1, 8])
    found = in_order(neurons, labels(neurons), order)
    for n in range(1, 4):
        weights = np.zeros(NEURONS)
        weights[order[:n]] = 1 / n
        assert found.losses[n - 1] == pytest.approx(plain_loss(neurons, labels, weights), rel=1e-9)
        np.testing.assert_allclose(found.weights(n, NEURONS), weights, atol=1e-15)
