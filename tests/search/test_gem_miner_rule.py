"""Gem-Miner's rule against autograd and SGD, and its promises: exact rounds of pruning, exact resume."""

import copy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from searching import EDGE_POPUP, scored_lenet5
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.gem_miner import GemMiner, left_active, num_rounds, survivors
from lth_runner.search.scored import ScoredNetwork, views

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(12)]
COMMON = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)}
RULE = GemMiner(**{**COMMON, "scores": Uniform(low=0.0, high=1.0), "epochs": 7}, penalty=1e-3, period=2)
RATE = 0.5  # scores reach 0 and 1 within a few steps


def module(redundancy: int = 0, relu: bool = False) -> torch.nn.Module:
    return LeNet5(hidden=(12, 9), outputs=10, redundancy=redundancy, relu=relu, biases=False).module()


def network(redundancy: int = 0, relu: bool = False, density: float = 0.4, scope: str = "global") -> ScoredNetwork:
    return scored_lenet5(redundancy, relu, density, scope, positive=True)


def training(*arguments: Any) -> FunctionalTraining:
    return FunctionalTraining([network(*arguments)], RULE, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("redundancy", "relu"), [(0, False), (3, False), (3, True)])
@pytest.mark.parametrize("frozen", [False, True])
def test_steps_are_those_of_plain_sgd(redundancy: int, relu: bool, frozen: bool) -> None:
    """The plain twin: the unmasked network at w * q * round(p), autograd through p - p.detach(), then clamping."""
    net, plain = network(redundancy, relu), module(redundancy, relu)
    fast = FunctionalTraining([net], RULE, "cpu")
    if frozen:
        fast.end_epoch(RULE.period)
    weights = {name: net.module.get_parameter(name) for name in net.scores}
    active = {name: part.float() for name, part in views(fast.active[0].clone(), net).items()}
    p = {name: part.clone().requires_grad_() for name, part in views(fast.scores[0], net).items()}
    optimizer = torch.optim.SGD(p.values(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    beyond = [0, 0]
    for batch in BATCHES[:4]:
        gates = {name: q + (q >= 0.5).float().sub(q).detach() for name, q in p.items()}
        used = {name: weight * active[name] * gates[name] for name, weight in weights.items()}
        loss = cross_entropy(torch.func.functional_call(plain, used, (batch[0],)), batch[1])
        optimizer.zero_grad()
        (loss + RULE.penalty * sum(((q * active[name]) ** 2).sum() for name, q in p.items())).backward()
        optimizer.step()
        for q in p.values():
            beyond = [beyond[0] + int((q < 0).sum()), beyond[1] + int((q > 1).sum())]
            q.data.clamp_(0, 1)
        assert fast.step(*batch, rate=RATE).item() == pytest.approx(loss.item(), rel=1e-4)
    reached = views(fast.scores[0], net)
    for name, q in p.items():
        torch.testing.assert_close(reached[name], q.detach(), atol=1e-5, rtol=1e-4)
    assert min(beyond) > 0, "scores were brought back to both ends of [0, 1]"


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("density", [0.0, 0.03, 0.4, 1.0])
def test_rounds_freeze_exactly_the_lowest(density: float, scope: str) -> None:
    """Three rounds of seven epochs; the last leaves round(density * N), and none that was frozen comes back."""
    net = network(0, False, density, scope)
    run = FunctionalTraining([net], RULE, "cpu")
    sizes = [scores.numel() for scores in net.scores.values()]
    groups = sizes if scope == "layer" else [sum(sizes)]
    for epoch in range(1, 8):
        for batch in BATCHES[:3]:
            run.step(*batch, rate=RATE)
        before, scores = run.active[0].clone(), run.scores[0].clone()
        run.end_epoch(epoch)
        finished = min(epoch // 2, 3)
        assert not bool((run.active[0] & ~before).any())
        for now, old, part in zip(*(t.split(groups) for t in (run.active[0], before, scores)), strict=True):
            assert now.sum() == round(density ** (finished / 3) * len(now))
            if bool((old & ~now).any()) and bool(now.any()):
                assert part[old & ~now].max() <= part[now].min()
        assert bool((run.scores[~run.active] == 0).all())
        kept = torch.cat([mask.flatten() for mask in run.masks().values()])
        assert torch.equal(kept, (run.active & (run.scores >= 0.5))[0])
    assert sum(int(mask.sum()) for mask in run.masks().values()) <= sum(round(density * size) for size in groups)


def test_equal_scores_are_frozen_from_the_last_index_on() -> None:
    run = training(0, False, 0.5)
    run.scores.fill_(0.0)
    run.end_epoch(6)
    assert torch.equal(run.active[0].nonzero().flatten(), torch.arange(round(0.5 * len(run.active[0]))))


def test_of_equal_scores_in_use_any_are_frozen() -> None:
    """A layer whose scores have all come to 1 keeps its share of every row, not its first rows.

    Half of 7,000 entries stay; that one of 20 blocks keeps fewer than a quarter of its 350, by chance, is below 1e-20.
    """
    scores = torch.ones(7000)
    found = survivors(scores, 3500, epoch=2)
    assert int(found.sum()) == 3500
    assert min(int(block.sum()) for block in found.split(350)) > 350 / 4
    assert torch.equal(found, survivors(scores, 3500, epoch=2)), "and always the same ones"
    assert not torch.equal(found, survivors(scores, 3500, epoch=4))


def test_whatever_is_equal_the_largest_stay() -> None:
    scores = torch.tensor([0.2, 1.0, 0.7, 1.0, 0.6, 1.0])
    assert survivors(scores, 4, epoch=1).tolist() == [False, True, True, True, False, True]
    for epoch in range(5):
        assert not (survivors(scores, 2, epoch) & (scores < 1)).any()
    assert survivors(torch.tensor([0.4, 0.4, 0.9, 0.4]), 2, epoch=1).tolist() == [True, False, True, False]
    assert survivors(scores, 0, epoch=1).sum() == 0


def test_active_scores_of_zero_are_not_mistaken_for_frozen_ones() -> None:
    """First those of low index are frozen, then all that are left fall to 0 too: the count stays exact."""
    run = training(0, False, 0.5)
    size = run.scores.shape[1]
    run.scores[0].copy_(torch.linspace(0, 1, size))
    run.end_epoch(2)
    first = run.active.clone()
    run.scores.fill_(0.0)
    run.end_epoch(4)
    assert int(run.active.sum()) == round(0.5 ** (2 / 3) * size)
    assert not bool((run.active & ~first).any())


def test_no_round_follows_the_last_epoch() -> None:
    """Six epochs of period two have rounds after the second and the fourth: the last one leaves what was asked for."""
    run = FunctionalTraining([network(density=0.5)], replace(RULE, epochs=6), "cpu")
    run.end_epoch(4)
    left = run.active.clone()
    assert int(left.sum()) == round(0.5 * left.shape[1])
    run.end_epoch(6)
    assert torch.equal(run.active, left)


@pytest.mark.slow
def test_masks_are_what_the_network_uses() -> None:
    net = network(2, True, 0.2)
    run = FunctionalTraining([net], RULE, "cpu")
    for epoch in range(1, 4):
        for batch in BATCHES:
            run.step(*batch, rate=RATE)
        run.end_epoch(epoch)
    plain = module(2, True)
    used = {name: net.module.get_parameter(name) * mask for name, mask in run.masks().items()}
    plain.load_state_dict(used)
    images, labels = BATCHES[0]
    (measured,) = run.accuracies(images, labels, batch=3)
    assert measured == (plain(images).argmax(1) == labels).float().mean().item()
    torch.testing.assert_close(run.outputs(images)[0], plain(images).detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("finished", [3, 6])
def test_a_copy_of_the_state_is_a_checkpoint(finished: int) -> None:
    def advance(run: FunctionalTraining, epochs: range) -> FunctionalTraining:
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


@pytest.mark.slow
def test_weights_are_left_alone() -> None:
    net = network(2)
    run, before = FunctionalTraining([net], RULE, "cpu"), copy.deepcopy(net.module.state_dict())
    for batch in BATCHES:
        run.step(*batch, rate=RATE)
    run.end_epoch(2)
    for name, weight in net.module.state_dict().items():
        assert torch.equal(weight, before[name])


def test_the_schedule() -> None:
    assert num_rounds(150, 5) == 29
    assert [left_active(0.01, 10**6, finished, 4) for finished in range(5)] == [10**6, 316228, 100000, 31623, 10000]


def test_first_scores_out_of_range_are_refused() -> None:
    net = network()
    next(iter(net.scores.values())).view(-1)[0] = -0.1
    with pytest.raises(ConfigError, match=r"lie in \[0, 1\].*uniform"):
        FunctionalTraining([net], RULE, "cpu")
