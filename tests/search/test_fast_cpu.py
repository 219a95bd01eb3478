"""Score steps against autograd and SGD, the kernels against NumPy, and their promises: exact masks, exact resume."""

import copy
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.search.fast_cpu import kernels
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.masked import MaskedRedundant, masked, masked_layers, masked_weights

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(12)]
MOMENTUM, DECAY = 0.9, 5e-4


def network(redundancy: int = 0, relu: bool = False, density: float = 0.4, scope: str = "layer") -> torch.nn.Module:
    """A small masked LeNet-5, convolutions included; redundancy 0 has plain linear layers."""
    module = LeNet5(hidden=(12, 9), outputs=10, redundancy=redundancy, relu=relu, biases=False).module()
    generator, scores = torch.Generator().manual_seed(1), {}
    for name, weight in module.named_parameters():
        weight.data.normal_(0, 0.2, generator=generator)
        scores[name] = torch.randn(weight.shape, generator=generator) * 0.1
    return masked(module, scores, density, scope)


def plain_step(
    plain: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, torch.Tensor]
) -> float:
    optimizer.zero_grad()
    loss = cross_entropy(plain(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    return loss.item()


def held_equals_masked(net: torch.nn.Module) -> bool:
    """Whether every layer holds what its scores ask for, found afresh: bit for bit where nothing is summed."""
    same = []
    for layer in masked_layers(net):
        assert layer.held is not None
        if isinstance(layer, MaskedRedundant):
            same.append(torch.allclose(layer.held, layer.effective(), atol=1e-6))
        else:
            same.append(torch.equal(layer.held, layer.effective()))
    return all(same)


@pytest.mark.parametrize(("redundancy", "relu"), [(0, False), (3, False), (3, True)])
@pytest.mark.parametrize(("density", "scope"), [(0.4, "layer"), (0.05, "global"), (1.0, "layer"), (0.0, "layer")])
def test_steps_are_those_of_plain_sgd(redundancy: int, relu: bool, density: float, scope: str) -> None:
    fast = network(redundancy, relu, density, scope)
    plain = copy.deepcopy(fast)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=MOMENTUM, weight_decay=DECAY)
    training = ScoreTraining(fast, MOMENTUM, DECAY, binary=False)
    for name, weight in masked_weights(plain).items():
        assert torch.equal(training.masks()[name], weight.mask())
    for batch in BATCHES[:4]:
        loss = training.step(*batch, rate=0.1)
        assert loss.item() == pytest.approx(plain_step(plain, optimizer, batch), rel=1e-4)
    reached = masked_weights(fast)
    for name, weight in masked_weights(plain).items():
        torch.testing.assert_close(reached[name].scores, weight.scores, atol=2e-6, rtol=1e-4)


class _Binary(torch.autograd.Function):
    """alpha * mask; backwards alpha is a constant and the mask counts as |score|, weighed with |w|: biprop's own."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(scores, weight)
        return mask * (weight.abs() * mask).double().sum().div(max(int(mask.sum()), 1)).float()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        scores, weight = ctx.saved_tensors
        return gradients[0] * weight.abs() * scores.sign(), None, None


@pytest.mark.parametrize(("redundancy", "relu"), [(0, False), (3, False), (3, True)])
@pytest.mark.parametrize(("density", "scope"), [(0.4, "layer"), (0.05, "global"), (1.0, "layer"), (0.0, "layer")])
def test_binary_steps_are_those_of_plain_sgd(redundancy: int, relu: bool, density: float, scope: str) -> None:
    """The plain twin: the unmasked network, its weights sign(w) * alpha * mask worked out in every forward pass."""
    fast = network(redundancy, relu, density, scope)
    twin = copy.deepcopy(fast)
    module = LeNet5(hidden=(12, 9), outputs=10, redundancy=redundancy, relu=relu, biases=False).module()
    weights = masked_weights(twin)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=MOMENTUM, weight_decay=DECAY)
    training = ScoreTraining(fast, MOMENTUM, DECAY, binary=True)
    for batch in BATCHES[:4]:
        used = {n: w.weight.sign() * _Binary.apply(w.scores, w.weight, w.mask()) for n, w in weights.items()}
        plain = cross_entropy(torch.func.functional_call(module, used, (batch[0],)), batch[1])
        optimizer.zero_grad()
        plain.backward()
        optimizer.step()
        assert training.step(*batch, rate=0.1).item() == pytest.approx(plain.item(), rel=1e-4)
    for name, weight in masked_weights(fast).items():
        torch.testing.assert_close(weight.scores, weights[name].scores, atol=2e-6, rtol=1e-4)
        assert torch.equal(training.masks()[name], weights[name].mask())


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("rate", [1e-4, 0.1, 30.0])
def test_masks_stay_exact_however_fast_thresholds_move(scope: str, rate: float) -> None:
    net = network(density=0.3, scope=scope)
    training = ScoreTraining(net, MOMENTUM, DECAY, binary=False)
    for batch in BATCHES:
        training.step(*batch, rate=rate)
        assert held_equals_masked(net)
    if rate == 1e-4:
        assert training.misses == 0  # a slow threshold is always found in its band
    if rate == 30.0:
        assert training.misses > 0


@pytest.mark.parametrize("values", [[0.5], [0.5, -0.5, 0.25, 0.0], [0.0]])
def test_ties_are_settled_as_in_the_definition(values: list[float]) -> None:
    net = network(redundancy=2, density=0.35, scope="global")
    for weight in masked_weights(net).values():
        picked = torch.randint(len(values), weight.scores.shape, generator=torch.Generator().manual_seed(3))
        weight.scores.data = torch.tensor(values)[picked]
    training = ScoreTraining(net, 0.0, 0.0, binary=False)
    for batch in BATCHES[:2]:
        training.step(*batch, rate=0.0)  # nothing moves: ties stay ties
        assert held_equals_masked(net)


@pytest.mark.parametrize("binary", [False, True])
def test_a_copy_of_scores_and_velocity_is_a_checkpoint(binary: bool) -> None:
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


def test_weights_are_left_alone_and_layers_can_be_released() -> None:
    net = network(2)
    before = {name: weight.weight.numpy().tobytes() for name, weight in masked_weights(net).items()}
    training = ScoreTraining(net, MOMENTUM, DECAY, binary=False)
    for batch in BATCHES:
        training.step(*batch, rate=0.1)
    assert before == {name: weight.weight.numpy().tobytes() for name, weight in masked_weights(net).items()}
    held = net(BATCHES[0][0])
    training.release()
    assert all(layer.held is None for layer in masked_layers(net))
    torch.testing.assert_close(net(BATCHES[0][0]), held)


def test_a_network_without_masks_is_refused() -> None:
    with pytest.raises(ConfigError, match="no masked layer"):
        ScoreTraining(torch.nn.Linear(3, 2), MOMENTUM, DECAY, binary=False)


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
