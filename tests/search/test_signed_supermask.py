"""Signed supermasks: the ticket is the network that was trained, and signs are symmetric."""

import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import DATA, EDGE_POPUP, problem, scored_lenet5
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lth_runner.measure.bits import bits
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.scored import ScoredNetwork, views
from lth_runner.search.signed_supermask import SignedSupermask
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import materialise

RULE = SignedSupermask(**{field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)})
GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(5)]


def negated(network: ScoredNetwork) -> ScoredNetwork:
    """The same network with weights and scores of the other sign."""
    other = scored_lenet5()
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.neg_()
    return replace(other, scores={name: -scores for name, scores in network.scores.items()})


def test_negated_weights_and_scores_give_the_same_networks_and_the_opposite_masks() -> None:
    """Step by step, to the bit."""
    one, other = (FunctionalTraining([each], RULE, "cpu") for each in (scored_lenet5(), negated(scored_lenet5())))
    for batch in BATCHES:
        assert torch.equal(one.step(*batch, rate=0.3), other.step(*batch, rate=0.3))
    for name, mask in one.masks().items():
        assert torch.equal(mask, -other.masks()[name])
        assert mask.unique().tolist() == [-1, 0, 1] and int((mask != 0).sum()) == round(0.4 * mask.numel())
    assert torch.equal(one.scores, -other.scores)


def test_steps_are_those_of_autograd_straight_through_the_mask() -> None:
    network = scored_lenet5()
    training = FunctionalTraining([network], RULE, "cpu")
    scores = {name: part.clone().requires_grad_() for name, part in network.scores.items()}
    optimizer = torch.optim.SGD(scores.values(), lr=0.3, momentum=0.9, weight_decay=5e-4)
    for batch in BATCHES:
        used = {}
        for name, own in scores.items():
            top = torch.zeros(own.numel())
            top[own.detach().abs().flatten().argsort(descending=True, stable=True)[: round(0.4 * own.numel())]] = 1
            mask = top.view_as(own) * own.detach().sign()
            used[name] = network.module.get_parameter(name) * (mask + own - own.detach())
        loss = cross_entropy(functional_call(network.module, used, (batch[0],)), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert training.step(*batch, rate=0.3).item() == pytest.approx(loss.item(), rel=1e-5)
    for name, reached in views(training.scores[0], network).items():
        torch.testing.assert_close(reached, scores[name].detach(), atol=1e-5, rtol=1e-4)


def test_a_ticket_redraws_the_network_that_was_trained(tmp_path: Path) -> None:
    recorder = Memory(tmp_path)
    ticket = RULE.find(problem(), recorder).ticket
    for coded in (False, True):
        save_ticket(ticket, tmp_path / "ticket.safetensors", coded)
        ticket = read_ticket(tmp_path / "ticket.safetensors")
        module = materialise(ticket).module()
        right = (module(DATA.test_inputs).argmax(1) == DATA.test_labels).float().mean()
        assert float(right) == pytest.approx(recorder.lines[-1]["test_accuracy"], abs=1e-6)
        for name, mask in ticket.masks.items():
            one, turned = np.moveaxis(mask.dense(), -1, 0)
            drawn = RULE.space(problem()).drawn[name].draw(0)
            assert not (one & turned).any() and mask.kept() == round(0.4 * drawn.size)
            expected = torch.from_numpy(drawn * one - drawn * turned).float()
            assert torch.equal(module.get_parameter(name), expected)
    assert float(recorder.lines[-1]["test_accuracy"]) > 0.5  # ten classes


def test_a_weight_costs_the_entropy_of_its_three_states(tmp_path: Path) -> None:
    ticket = replace(RULE, density=0.227, epochs=1).find(problem(), Memory(tmp_path)).ticket
    found = bits(ticket)
    weights = 36 * 20 + 20 * 10
    assert found["weights_approximated"] == weights and found["bits_mask"] == 2 * weights
    states = {name: (mask.dense() @ np.array([1, 2])).ravel() for name, mask in ticket.masks.items()}
    counts = {name: np.bincount(own, minlength=3) for name, own in states.items()}
    entropy = sum(-count * math.log2(count / own.sum()) for own in counts.values() for count in own)
    stds = 2 * 64 + 64  # of two tensors, and the seed
    assert found["bits_per_weight_ideal"] == pytest.approx((entropy + stds) / weights, rel=1e-9)
