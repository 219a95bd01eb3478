"""IteRand: without drawings it is edge-popup; what is drawn anew is pruned, and the ticket has the numbers in use."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import DATA, EDGE_POPUP, bits, check_cut_runs, problem

from lth_runner.measure.bits import bits as counted
from lth_runner.search import score_search
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.iterand import IteRand
from lth_runner.ticket.file import read_ticket, save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise

COMMON: dict[str, Any] = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EdgePopup)}
RULE = IteRand(**COMMON, period=5, probability=0.3, draws=4)


def trained(rule: IteRand | EdgePopup, steps: int, network: Any) -> FunctionalTraining:
    training = FunctionalTraining([network], rule, "cpu")
    for step in range(steps):
        at = slice(8 * step, 8 * step + 8)
        training.step(DATA.train_inputs[at], DATA.train_labels[at], rate=0.3)
    return training


def scored(rule: IteRand) -> Any:
    space = rule.space(problem())
    return rule._scored(space.module(0), space, 0.4, 0)


def test_with_probability_0_it_is_edge_popup_on_the_first_numbers() -> None:
    """To the bit."""
    network = scored(RULE)
    one, other = trained(replace(RULE, probability=0.0), 20, network), trained(EDGE_POPUP, 20, network)
    assert torch.equal(one.scores, other.scores)
    for name, mask in other.masks().items():
        assert torch.equal(one.masks()[name], mask.long())


def test_with_one_draw_it_is_edge_popup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its very ticket but for one axis, whatever the probability."""
    monkeypatch.setattr(
        score_search, "ScoreTraining", lambda network, *_, binary: FunctionalTraining([network], EDGE_POPUP, "cpu")
    )
    one = replace(RULE, draws=1).find(problem(), Memory(tmp_path)).ticket
    other = EDGE_POPUP.find(problem(), Memory(tmp_path)).ticket
    assert bits(one) == bits(other)
    for name, array in materialise(other).readings.items():
        assert np.array_equal(materialise(one).readings[name], array)


def test_only_pruned_weights_go_on_to_their_next_number() -> None:
    network = scored(RULE)
    training = FunctionalTraining([network], replace(RULE, probability=1.0), "cpu")
    numbers = torch.cat([network.numbers[name].flatten(0, -2) for name in network.columns])
    times = torch.zeros(len(numbers), dtype=torch.int64)
    for step in range(30):
        masks = torch.cat([mask.flatten() for mask in training.masks().values()])
        assert torch.equal(masks > 0, training._masks()[0]) and torch.equal(masks[masks > 0] - 1, times[masks > 0])
        if step and step % 5 == 0:
            times = torch.where(masks == 0, (times + 1).clamp(max=3), times)
        training.step(DATA.train_inputs[:8], DATA.train_labels[:8], rate=0.3)
        assert torch.equal(training.state()["times"][0], times)
        assert torch.equal(training._weights[0], numbers[torch.arange(len(numbers)), times])
    assert set(times.tolist()) == {0, 1, 2, 3}


def test_a_ticket_redraws_the_network_that_was_trained_and_counts_every_drawing(tmp_path: Path) -> None:
    recorder = Memory(tmp_path)
    ticket = RULE.find(problem(), recorder).ticket
    plain = to_bytes(ticket)
    for coded in (False, True):
        save_ticket(ticket, tmp_path / "ticket.safetensors", coded)
        ticket = read_ticket(tmp_path / "ticket.safetensors")
    assert to_bytes(ticket) == plain
    module = materialise(ticket).module()
    right = (module(DATA.test_inputs).argmax(1) == DATA.test_labels).float().mean()
    assert float(right) == pytest.approx(recorder.lines[-1]["test_accuracy"], abs=1e-6)
    assert float(right) > 0.5  # ten classes
    weights = 36 * 20 + 20 * 10
    assert ticket.kept() == round(0.4 * 720) + round(0.4 * 200) and ticket.drawn() == 4 * weights
    assert all(mask.dense().sum(-1).max() == 1 and mask.dense()[..., 1:].any() for mask in ticket.masks.values())
    states = np.concatenate([(mask.dense() @ np.arange(1, 5)).ravel() for mask in ticket.masks.values()])
    assert counted(ticket)["bits_mask"] == 3 * weights + 2 * 5 * 4  # five states, and the patterns of either tensor
    assert len(np.unique(states)) == 5


def test_a_run_cut_after_any_epoch_ends_with_the_same_ticket(tmp_path: Path) -> None:
    check_cut_runs(replace(RULE, epochs=3, period=7), tmp_path)
