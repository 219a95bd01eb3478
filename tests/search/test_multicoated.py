"""Multicoated supermasks: one coat is edge-popup, and the coats lie within each other."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import DATA, EDGE_POPUP, problem, scored_lenet5

from lth_runner.core.errors import ConfigError
from lth_runner.measure.bits import bits
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.multicoated import Multicoated
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import materialise

COMMON: dict[str, Any] = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EdgePopup)}
RULE = Multicoated(**COMMON, coats=[1.0, 0.5, 0.1])
GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(5)]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_one_coat_is_edge_popup(scope: str) -> None:
    """Step by step, to the bit."""
    network = scored_lenet5(scope=scope)
    one, other = (FunctionalTraining([network], rule, "cpu") for rule in (replace(RULE, coats=[1.0]), EDGE_POPUP))
    for batch in BATCHES:
        assert torch.equal(one.step(*batch, rate=0.3), other.step(*batch, rate=0.3))
    assert torch.equal(one.scores, other.scores)
    for name, mask in other.masks().items():
        assert torch.equal(one.masks()[name] == 1, mask)


def test_equal_coats_are_edge_popup_times_their_number() -> None:
    """C coats of all that the first keeps: weights C times as large, and so are the gradients of scores."""
    network, large = scored_lenet5(), scored_lenet5()
    with torch.no_grad():
        for parameter in large.module.parameters():
            parameter.mul_(2)
    one = FunctionalTraining([network], replace(RULE, coats=[1.0, 1.0]), "cpu")
    other = FunctionalTraining([large], EDGE_POPUP, "cpu")
    for batch in BATCHES:
        assert torch.equal(one.step(*batch, rate=0.3), other.step(*batch, rate=0.3))
    assert torch.equal(one.scores, other.scores)


def test_a_ticket_is_the_sum_of_nested_masks(tmp_path: Path) -> None:
    recorder = Memory(tmp_path)
    ticket = RULE.find(problem(), recorder).ticket
    for coded in (False, True):
        save_ticket(ticket, tmp_path / "ticket.safetensors", coded)
        ticket = read_ticket(tmp_path / "ticket.safetensors")
    module = materialise(ticket).module()
    for name, mask in ticket.masks.items():
        coats = mask.dense()
        assert not (coats[..., 1:] & ~coats[..., :-1]).any()
        assert [int(coats[..., c].sum()) for c in range(3)] == [
            round(0.4 * coats[..., 0].size * s) for s in (1, 0.5, 0.1)
        ]
        drawn = EDGE_POPUP.space(problem()).drawn[name].draw(0)
        np.testing.assert_allclose(module.get_parameter(name), drawn * coats.sum(-1), rtol=1e-6)
    right = (module(DATA.test_inputs).argmax(1) == DATA.test_labels).float().mean()
    assert float(right) == pytest.approx(recorder.lines[-1]["test_accuracy"], abs=1e-6)
    assert float(right) > 0.5  # ten classes
    weights = 36 * 20 + 20 * 10
    assert ticket.drawn() == weights and ticket.offered() == 3 * weights
    assert bits(ticket)["bits_mask"] == 2 * weights + 2 * 4 * 3  # four states, and the patterns of either tensor
    share = np.array([0.6, 0.2, 0.16, 0.04])
    ideal = bits(ticket)["bits_per_weight_ideal"] - (64 + 2 * 64 + 2 * 4 * 3) / weights
    assert ideal == pytest.approx(-(share * np.log2(share)).sum(), rel=1e-3)


def test_two_coats_cost_the_entropy_of_their_three_states(tmp_path: Path) -> None:
    """One bit where 22.7 % are kept, half of them by both coats; as each coat's own bits it would be 1.32."""
    ticket = replace(RULE, density=0.227, coats=[1.0, 0.5], epochs=1).find(problem(), Memory(tmp_path)).ticket
    weights = 36 * 20 + 20 * 10
    found, apart = bits(ticket), 64 + 2 * 64 + 2 * 3 * 2
    assert found["bits_per_weight"] == (2 * weights + apart) / weights
    assert found["bits_per_weight_ideal"] - apart / weights == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("coats", [[], [0.5], [1.0, 0.2, 0.3], [1.0, -0.1]])
def test_coats_that_do_not_lie_within_each_other_are_refused(coats: list[float]) -> None:
    with pytest.raises(ConfigError, match="coats"):
        replace(RULE, coats=coats)
