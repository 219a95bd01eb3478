"""Slot machines: one number for each connection is the random network, and the choice is that of the highest scores."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import DATA, EDGE_POPUP, problem
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.orthonormal import Orthonormal
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.bits import bits
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.slot_machine import SlotMachine
from lth_runner.ticket.file import read_ticket, save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.ticket import Ticket

COMMON = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)}
RULE = SlotMachine(**{**COMMON, "learning_rate": 0.05, "density": 1.0, "scores": Uniform(low=0.0, high=0.1)}, values=4)


def scored(rule: SlotMachine, density: float = 1.0) -> ScoredNetwork:
    space = rule.space(problem())
    return rule._scored(space.module(0), space, density, 0)


def found(rule: SlotMachine, folder: Path) -> Ticket:
    return rule.find(problem(), Memory(folder)).ticket


def test_one_number_for_each_connection_is_the_random_network(tmp_path: Path) -> None:
    """Edge-popup's own, whole, and whatever the scores do."""
    module = materialise(found(replace(RULE, values=1), tmp_path)).module()
    drawn = EDGE_POPUP.space(problem()).module(0)
    for name, parameter in drawn.named_parameters():
        assert torch.equal(module.get_parameter(name), parameter)


@pytest.mark.parametrize("density", [1.0, 0.3, 0.0])
def test_the_highest_score_of_each_connection_is_chosen(density: float) -> None:
    network = scored(RULE, density)
    masks = FunctionalTraining([network], RULE, "cpu").masks()
    for name, scores in network.scores.items():
        kept, highest = masks[name], scores.max(dim=-1)
        assert kept.shape == scores.shape and int(kept.sum()) == round(density * highest.values.numel())
        chosen = kept.any(-1)
        assert (
            torch.equal(kept.int().argmax(-1)[chosen], highest.indices[chosen])
            and int(kept.sum(-1).max(-1)[0].max()) <= 1
        )
        if 0 < density < 1:
            assert highest.values[chosen].min() >= highest.values[~chosen].max()


def test_steps_are_those_of_autograd_straight_through_the_choice() -> None:
    network = scored(RULE)
    training = FunctionalTraining([network], RULE, "cpu")
    scores = {name: part.clone().requires_grad_() for name, part in network.scores.items()}
    optimizer = torch.optim.SGD(scores.values(), lr=0.3, momentum=0.9, weight_decay=5e-4)
    for start in range(0, 80, 16):
        x, y = DATA.train_inputs[start : start + 16], DATA.train_labels[start : start + 16]
        used = {}
        for name, own in scores.items():
            one = torch.nn.functional.one_hot(own.detach().argmax(-1), 4).float()
            used[name] = (network.numbers[name] * (one + own - own.detach())).sum(-1)
        loss = cross_entropy(functional_call(network.module, used, (x,)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert training.step(x, y, rate=0.3).item() == pytest.approx(loss.item(), rel=1e-5)
    reached = torch.cat([own.detach().flatten() for own in scores.values()])
    torch.testing.assert_close(training.scores[0], reached, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("values", "density", "width"), [(2, 1.0, 1), (8, 1.0, 3), (3, 0.5, 2)])
def test_a_ticket_costs_the_number_of_its_choice(tmp_path: Path, values: int, density: float, width: int) -> None:
    rule = replace(RULE, values=values, density=density, epochs=1)
    ticket = found(rule, tmp_path)
    weights, states = 36 * 20 + 20 * 10, values + (density < 1)
    assert bits(ticket)["bits_mask"] == width * weights + 2 * states * values
    share = [1 - density] * (density < 1) + [density / values] * values
    entropy = -sum(part * np.log2(part) for part in share)
    ideal = bits(ticket)["bits_per_weight_ideal"] - (64 + 2 * 64 + 2 * states * values) / weights
    assert ideal == pytest.approx(entropy, rel=0.03)  # choices are nearly even after one epoch
    plain, coded = to_bytes(ticket), to_bytes(ticket, coded=True)
    (tmp_path / "coded").write_bytes(coded)
    assert to_bytes(read_ticket(tmp_path / "coded")) == plain
    assert values < 8 or len(coded) < len(plain)


def test_a_ticket_redraws_the_network_that_was_trained(tmp_path: Path) -> None:
    recorder = Memory(tmp_path)
    save_ticket(RULE.find(problem(), recorder).ticket, tmp_path / "ticket.safetensors")
    module = materialise(read_ticket(tmp_path / "ticket.safetensors")).module()
    right = (module(DATA.test_inputs).argmax(1) == DATA.test_labels).float().mean()
    assert float(right) == pytest.approx(recorder.lines[-1]["test_accuracy"], abs=1e-6)
    assert float(right) > 0.5  # ten classes


def test_several_numbers_need_a_law_of_single_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="whole matrices"):
        found(replace(RULE, distribution=Orthonormal()), tmp_path)
    with pytest.raises(ConfigError, match="values"):
        replace(RULE, values=0)
