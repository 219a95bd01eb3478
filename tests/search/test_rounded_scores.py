"""Rounded scores against autograd and SGD, and their promises: exact rounds of freezing, exact resume."""

import copy
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.search.masked import masked, masked_weights
from lth_runner.search.rounded_scores import RoundedScoreTraining, left_active, num_rounds

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(12)]
SETTINGS: dict[str, Any] = {"momentum": 0.9, "weight_decay": 5e-4, "penalty": 1e-3, "epochs": 7, "period": 2}
RATE = 0.5  # scores reach 0 and 1 within a few steps


def module(redundancy: int = 0, relu: bool = False) -> torch.nn.Module:
    return LeNet5(hidden=(12, 9), outputs=10, redundancy=redundancy, relu=relu, biases=False).module()


def network(redundancy: int = 0, relu: bool = False, density: float = 0.4, scope: str = "global") -> torch.nn.Module:
    """A small masked LeNet-5, convolutions included; redundancy 0 has plain linear layers."""
    plain = module(redundancy, relu)
    generator, scores = torch.Generator().manual_seed(1), {}
    for name, weight in plain.named_parameters():
        weight.data.normal_(0, 0.6, generator=generator)
        scores[name] = torch.rand(weight.shape, generator=generator)
    return masked(plain, scores, density, scope)


def training(*arguments: Any) -> RoundedScoreTraining:
    return RoundedScoreTraining(network(*arguments), **SETTINGS)


def parts(flat: torch.Tensor, net: torch.nn.Module) -> dict[str, torch.Tensor]:
    weights = masked_weights(net)
    pieces = flat.split([weight.scores.numel() for weight in weights.values()])
    return {n: piece.view(w.scores.shape) for (n, w), piece in zip(weights.items(), pieces, strict=True)}


@pytest.mark.parametrize(("redundancy", "relu"), [(0, False), (3, False), (3, True)])
@pytest.mark.parametrize("frozen", [False, True])
def test_steps_are_those_of_plain_sgd(redundancy: int, relu: bool, frozen: bool) -> None:
    """The plain twin: the unmasked network at w * q * round(p), autograd through p - p.detach(), then clamping."""
    fast, plain = training(redundancy, relu), module(redundancy, relu)
    if frozen:
        fast.end_epoch(SETTINGS["period"])
    net = fast.network
    weights = {name: weight.weight for name, weight in masked_weights(net).items()}
    active = {name: part.float() for name, part in parts(fast.active.clone(), net).items()}
    p = {name: part.clone().requires_grad_() for name, part in parts(fast.scores, net).items()}
    optimizer = torch.optim.SGD(p.values(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    beyond = [0, 0]
    for batch in BATCHES[:4]:
        gates = {name: q + (q >= 0.5).float().sub(q).detach() for name, q in p.items()}
        used = {name: weight * active[name] * gates[name] for name, weight in weights.items()}
        loss = cross_entropy(torch.func.functional_call(plain, used, (batch[0],)), batch[1])
        optimizer.zero_grad()
        (loss + SETTINGS["penalty"] * sum(((q * active[name]) ** 2).sum() for name, q in p.items())).backward()
        optimizer.step()
        for q in p.values():
            beyond = [beyond[0] + int((q < 0).sum()), beyond[1] + int((q > 1).sum())]
            q.data.clamp_(0, 1)
        assert fast.step(*batch, rate=RATE).item() == pytest.approx(loss.item(), rel=1e-4)
    reached = parts(fast.scores, net)
    for name, q in p.items():
        torch.testing.assert_close(reached[name], q.detach(), atol=1e-5, rtol=1e-4)
    assert min(beyond) > 0, "scores were brought back to both ends of [0, 1]"


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("density", [0.0, 0.03, 0.4, 1.0])
def test_rounds_freeze_exactly_the_lowest(density: float, scope: str) -> None:
    """Three rounds of seven epochs; the last leaves round(density * N), and none that was frozen comes back."""
    run = training(0, False, density, scope)
    sizes = [weight.scores.numel() for weight in masked_weights(run.network).values()]
    groups = sizes if scope == "layer" else [sum(sizes)]
    for epoch in range(1, 8):
        for batch in BATCHES[:3]:
            run.step(*batch, rate=RATE)
        before, scores = run.active.clone(), run.scores.clone()
        run.end_epoch(epoch)
        finished = min(epoch // 2, 3)
        assert not bool((run.active & ~before).any())
        for now, old, part in zip(*(t.split(groups) for t in (run.active, before, scores)), strict=True):
            assert now.sum() == round(density ** (finished / 3) * len(now))
            if bool((old & ~now).any()) and bool(now.any()):
                assert part[old & ~now].max() <= part[now].min()
        assert bool((run.scores[~run.active] == 0).all())
        kept = torch.cat([mask.flatten() for mask in run.masks().values()])
        assert torch.equal(kept, run.active & (run.scores >= 0.5))
    assert sum(int(mask.sum()) for mask in run.masks().values()) <= sum(round(density * size) for size in groups)


def test_equal_scores_are_frozen_from_the_last_index_on() -> None:
    run = training(0, False, 0.5)
    run.scores.fill_(0.0)
    run.end_epoch(6)
    assert torch.equal(run.active.nonzero().flatten(), torch.arange(round(0.5 * len(run.active))))


def test_active_scores_of_zero_are_not_mistaken_for_frozen_ones() -> None:
    """First those of low index are frozen, then all that are left fall to 0 too: the count stays exact."""
    run = training(0, False, 0.5)
    size = len(run.scores)
    run.scores.copy_(torch.linspace(0, 1, size))
    run.end_epoch(2)
    first = run.active.clone()
    run.scores.fill_(0.0)
    run.end_epoch(4)
    assert int(run.active.sum()) == round(0.5 ** (2 / 3) * size)
    assert not bool((run.active & ~first).any())


def test_no_round_follows_the_last_epoch() -> None:
    """Six epochs of period two have rounds after the second and the fourth: the last one leaves what was asked for."""
    run = RoundedScoreTraining(network(density=0.5), **{**SETTINGS, "epochs": 6})
    run.end_epoch(4)
    left = run.active.clone()
    assert int(left.sum()) == round(0.5 * len(left))
    run.end_epoch(6)
    assert torch.equal(run.active, left)


def test_masks_are_what_the_network_uses() -> None:
    run = training(2, True, 0.2)
    for epoch in range(1, 4):
        for batch in BATCHES:
            run.step(*batch, rate=RATE)
        run.end_epoch(epoch)
    plain = module(2, True)
    used = {name: weight.weight * run.masks()[name] for name, weight in masked_weights(run.network).items()}
    plain.load_state_dict(used)
    images, labels = BATCHES[0]
    (measured,) = run.accuracies(images, labels, batch=3)
    assert measured == (plain(images).argmax(1) == labels).float().mean().item()
    torch.testing.assert_close(run.network(images), plain(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("finished", [3, 6])
def test_a_copy_of_the_state_is_a_checkpoint(finished: int) -> None:
    def advance(run: RoundedScoreTraining, epochs: range) -> RoundedScoreTraining:
        for epoch in epochs:
            for batch in BATCHES[:4]:
                run.step(*batch, rate=0.01)  # at larger rates this small network dies, and nothing moves any more
            run.end_epoch(epoch)
        return run

    through, first, resumed = training(2, True), training(2, True), training(2, True)
    advance(through, range(1, 8))
    resumed.load({name: tensor.clone() for name, tensor in advance(first, range(1, finished + 1)).state().items()})
    moved = resumed.scores.clone()
    advance(resumed, range(finished + 1, 8))
    assert not torch.equal(resumed.scores, moved)
    for name, tensor in through.state().items():
        assert torch.equal(tensor, resumed.state()[name])


def test_weights_are_left_alone() -> None:
    run = training(2)
    before = copy.deepcopy(masked_weights(run.network))
    for batch in BATCHES:
        run.step(*batch, rate=RATE)
    run.end_epoch(2)
    for name, weight in masked_weights(run.network).items():
        assert torch.equal(weight.weight, before[name].weight)


def test_the_schedule() -> None:
    assert num_rounds(150, 5) == 29
    assert [left_active(0.01, 10**6, finished, 4) for finished in range(5)] == [10**6, 316228, 100000, 31623, 10000]


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match="no masked layer"):
        RoundedScoreTraining(torch.nn.Linear(3, 2), **SETTINGS)
    net = network()
    next(iter(masked_weights(net).values())).scores.data[0] = -0.1
    with pytest.raises(ConfigError, match=r"lie in \[0, 1\].*uniform"):
        RoundedScoreTraining(net, **SETTINGS)
