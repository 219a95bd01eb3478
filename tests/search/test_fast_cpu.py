"""Compiled score steps against their definition and the functional ones, the kernels against NumPy, exact resume."""

from dataclasses import fields, replace
from typing import Any

import numba
import numpy as np
import pytest
import torch
from oracle import Oracle
from searching import EDGE_POPUP, scored_lenet5

from lth_runner.search.biprop import Biprop
from lth_runner.search.fast_cpu import kernels
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.scored import views

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(12)]
MOMENTUM, DECAY = 0.9, 5e-4
SGD: dict[str, Any] = {"rate": 0.1, "momentum": MOMENTUM, "decay": DECAY}
network = scored_lenet5
LAYERS = pytest.mark.parametrize(("redundancy", "relu"), [(0, False), (3, False), (3, True)])
DENSITIES = pytest.mark.parametrize(
    ("density", "scope"), [(0.4, "layer"), (0.05, "global"), (1.0, "layer"), (0.0, "layer")]
)
RULES = {
    False: EDGE_POPUP,
    True: Biprop(**{field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)}),
}


def effective_equals_masked(training: ScoreTraining) -> bool:
    """Whether what the network uses is what its scores ask for, found afresh: bit for bit where nothing is summed."""
    scores = views(training.scores, training.network)
    fresh = ScoreTraining(replace(training.network, scores=scores), 0.0, 0.0, binary=False)
    oracle = Oracle(replace(training.network, scores=scores), **SGD)
    plain = {name: used for name, used in oracle.effective().items() if name in training.effective}
    assert all(torch.equal(mask, training.masks()[name]) for name, mask in oracle.masks().items())
    same = all(torch.equal(used, training.effective[name]) for name, used in plain.items())
    return same and all(torch.equal(used, training.effective[name]) for name, used in fresh.effective.items())


@pytest.mark.slow
@LAYERS
@DENSITIES
@pytest.mark.parametrize("binary", [False, True])
def test_steps_are_those_of_the_definition(
    redundancy: int, relu: bool, density: float, scope: str, binary: bool
) -> None:
    """Plain autograd straight through masks found by a sort, on the module as it is, and torch's own SGD."""
    net = network(redundancy, relu, density, scope)
    oracle = Oracle(net, binary=binary, **SGD)
    training = ScoreTraining(net, MOMENTUM, DECAY, binary=binary)
    for name, mask in oracle.masks().items():
        assert torch.equal(training.masks()[name], mask)
    for batch in BATCHES[:4]:
        assert training.step(*batch, rate=0.1).item() == pytest.approx(oracle.step(*batch), rel=1e-4)
    for name, scores in views(training.scores, net).items():
        torch.testing.assert_close(scores, oracle.scores[name].detach(), atol=2e-6, rtol=1e-4)
        assert torch.equal(training.masks()[name], oracle.masks()[name])


@pytest.mark.slow
@LAYERS
@DENSITIES
@pytest.mark.parametrize("binary", [False, True])
def test_steps_are_those_of_the_functional_path(
    redundancy: int, relu: bool, density: float, scope: str, binary: bool
) -> None:
    """To the bit where no layer is redundant; sums over copies are taken in another order."""
    net = network(redundancy, relu, density, scope)
    fast = ScoreTraining(net, MOMENTUM, DECAY, binary=binary)
    functional = FunctionalTraining([net], RULES[binary], "cpu")
    for batch in BATCHES:
        losses = fast.step(*batch, rate=0.1), functional.step(*batch, rate=0.1)
        torch.testing.assert_close(*losses, rtol=1e-4 if redundancy else 0, atol=0)
    if redundancy:
        torch.testing.assert_close(fast.scores, functional.scores[0], atol=2e-6, rtol=1e-4)
    else:
        assert torch.equal(fast.scores, functional.scores[0])
        assert torch.equal(fast.velocity, functional.velocity[0])
    assert all(torch.equal(mask, functional.masks()[name]) for name, mask in fast.masks().items())


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("rate", [1e-4, 0.1, 30.0])
def test_masks_stay_exact_however_fast_thresholds_move(scope: str, rate: float) -> None:
    training = ScoreTraining(network(density=0.3, scope=scope), MOMENTUM, DECAY, binary=False)
    for batch in BATCHES:
        training.step(*batch, rate=rate)
        assert effective_equals_masked(training)
    if rate == 1e-4:
        assert training.misses == 0  # a slow threshold is always found in its band
    if rate == 30.0:
        assert training.misses > 0


@pytest.mark.parametrize("values", [[0.5], [0.5, -0.5, 0.25, 0.0], [0.0]])
def test_ties_are_settled_as_in_the_definition(values: list[float]) -> None:
    net = network(redundancy=2, density=0.35, scope="global")
    generators = {name: torch.Generator().manual_seed(3) for name in net.scores}
    picked = {n: torch.randint(len(values), s.shape, generator=generators[n]) for n, s in net.scores.items()}
    scores = {name: torch.tensor(values)[index] for name, index in picked.items()}
    training = ScoreTraining(replace(net, scores=scores), 0.0, 0.0, binary=False)
    for batch in BATCHES[:2]:
        training.step(*batch, rate=0.0)  # nothing moves: ties stay ties
        assert effective_equals_masked(training)


@pytest.mark.parametrize("binary", [False, True])
def test_a_copy_of_the_state_is_a_checkpoint(binary: bool) -> None:
    through = ScoreTraining(network(2, True), MOMENTUM, DECAY, binary=binary)
    for batch in BATCHES:
        through.step(*batch, rate=0.1)
    first = ScoreTraining(network(2, True), MOMENTUM, DECAY, binary=binary)
    for batch in BATCHES[:5]:
        first.step(*batch, rate=0.1)
    resumed = ScoreTraining(network(2, True), MOMENTUM, DECAY, binary=binary)
    resumed.load(first.state())
    for batch in BATCHES[5:]:
        resumed.step(*batch, rate=0.1)
    assert torch.equal(resumed.scores, through.scores)
    assert torch.equal(resumed.velocity, through.velocity)


@pytest.mark.parametrize("binary", [False, True])
def test_threads_change_no_bit_of_the_kernels(binary: bool) -> None:
    results = []
    for threads in (1, numba.get_num_threads()):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            training = ScoreTraining(network(3, True), MOMENTUM, DECAY, binary=binary)
            for batch in BATCHES:
                training.step(*batch, rate=0.1)
            results.append(training.scores)
        finally:
            numba.set_num_threads(before)
    assert torch.equal(results[0], results[1])


def test_the_network_is_left_alone() -> None:
    net = network(2)
    before = {name: tensor.numpy().tobytes() for name, tensor in net.module.state_dict().items()}
    scores = {name: tensor.clone() for name, tensor in net.scores.items()}
    training = ScoreTraining(net, MOMENTUM, DECAY, binary=False)
    for batch in BATCHES:
        training.step(*batch, rate=0.1)
    assert before == {name: tensor.numpy().tobytes() for name, tensor in net.module.state_dict().items()}
    assert all(torch.equal(tensor, net.scores[name]) for name, tensor in scores.items())
    oracle = Oracle(replace(net, scores=views(training.scores, net)), **SGD)
    torch.testing.assert_close(training.outputs(BATCHES[0][0]), oracle.outputs(BATCHES[0][0]).detach())


def test_of_a_redundant_layer_one_weight_alone_may_have_scores() -> None:
    whole = network(3, True)
    net = replace(whole, scores={name: s for name, s in whole.scores.items() if not name.endswith("weight1")})
    oracle, training = Oracle(net, **SGD), ScoreTraining(net, MOMENTUM, DECAY, binary=False)
    for batch in BATCHES[:4]:
        assert training.step(*batch, rate=0.1).item() == pytest.approx(oracle.step(*batch), rel=1e-4)


@pytest.mark.parametrize("shape", [(5, 3, 37), (40, 1, 64), (1, 2, 3)])
@pytest.mark.parametrize("num_branches", [1, 2])
def test_kernels_are_their_formulas(shape: tuple[int, int, int], num_branches: int) -> None:
    """The plain twin, in float64: gradients, SGD, counts, and the folded matrix."""
    rng = np.random.default_rng(4)
    outputs, copies, inputs = shape
    weight, used, score, velocity = (rng.standard_normal(shape).astype(np.float32) for _ in range(4))
    grad = rng.standard_normal((outputs, num_branches, inputs)).astype(np.float32)
    sign = rng.choice([-1, 0, 1], (num_branches, copies, inputs)).astype(np.float32)
    spread = rng.standard_normal((copies, inputs)).astype(np.float32)
    first, cut, band = 100, (np.sort(np.abs(score), None)[score.size // 2], 100 + score.size), (0.5, 0.6)
    kept = np.where(np.abs(score) >= cut[0], used, 0).astype(np.float64)
    size = np.abs(weight[np.abs(score) >= cut[0]].astype(np.float64)).mean()
    slope = np.einsum("cki,oci->oki", sign.astype(np.float64), grad)
    new_velocity = 0.9 * velocity + spread * slope * weight * np.sign(score) + 0.01 * score
    new_score = score - 0.1 * new_velocity

    parts = np.empty((kernels.BLOCKS, copies, inputs), np.float32)
    above, found = np.zeros(kernels.BLOCKS, np.int64), np.zeros(kernels.BLOCKS, np.int64)
    found_score, found_at = np.zeros((kernels.BLOCKS, 999), np.float32), np.zeros((kernels.BLOCKS, 999), np.int64)
    folded = np.empty(grad.shape, np.float32)
    kernels.fold(used, score, sign, first, (np.float32(cut[0]), cut[1]), folded)
    assert kernels.mean_size(weight, score, first, (np.float32(cut[0]), cut[1])) == pytest.approx(size, rel=1e-12)
    rates = (np.float32(0.1), np.float32(0.9), np.float32(0.01))
    settings = (first, rates, (np.float32(cut[0]), cut[1]), (np.float32(band[0]), np.float32(band[1])))
    tensors = (weight, used, score, velocity, grad, sign, spread)
    kernels.descend(*tensors, *settings, parts, above, found, found_score, found_at)

    np.testing.assert_allclose(folded, np.einsum("cki,oki->oci", sign, kept), atol=1e-5)
    np.testing.assert_allclose(parts.sum(0), (kept * slope).sum(0), atol=1e-4)
    np.testing.assert_allclose(velocity, new_velocity, atol=1e-5)
    np.testing.assert_allclose(score, new_score, atol=1e-5)
    size = np.abs(score).ravel()
    assert above.sum() == (size > np.float32(band[1])).sum()
    inside = np.flatnonzero((size >= np.float32(band[0])) & (size <= np.float32(band[1])))
    indices = np.concatenate([at[:count] for at, count in zip(found_at, found, strict=True)])
    np.testing.assert_array_equal(indices, first + inside)
    scores = np.concatenate([at[:count] for at, count in zip(found_score, found, strict=True)])
    np.testing.assert_array_equal(scores, size[inside])


def test_select_keeps_the_wanted_number_and_the_lowest_of_equal_scores() -> None:
    above, found = np.array([2, 1]), np.array([3, 2])
    found_score = np.array([[0.5, 0.7, 0.5], [0.5, 0.4, 0.0]], np.float32)
    found_at = np.array([[3, 5, 8], [11, 12, 0]])
    assert kernels.select(above, found, found_score, found_at, 4) == (True, np.float32(0.7), 6)
    assert kernels.select(above, found, found_score, found_at, 6) == (True, np.float32(0.5), 9)
    assert kernels.select(above, found, found_score, found_at, 7) == (True, np.float32(0.5), 12)
    assert kernels.select(above, found, found_score, found_at, 8) == (True, np.float32(0.4), 13)
    for beyond in (3, 9):
        assert not kernels.select(above, found, found_score, found_at, beyond)[0]
    assert not kernels.select(above, np.array([4, 2]), found_score, found_at, 6)[0]  # more candidates than room
