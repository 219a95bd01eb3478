"""Tickets of every method that were tampered with, or are read for what they are not, do not pass."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.cases import METHODS, VARIANTS, home
from small_networks import dataset, target

import lth_runner as lth
from lth_runner.core.errors import DataError
from lth_runner.data.interface import labels
from lth_runner.ticket.file import save_ticket
from lth_runner.ticket.source import Scales, Stored
from lth_runner.ticket.ticket import Ticket

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("method", METHODS)
def test_no_flipped_bit_passes(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "damaged.safetensors"
    whole = case.path.read_bytes()
    seed = int(hashlib.sha256(method.encode()).hexdigest()[:8], 16)
    for bit in np.random.default_rng(seed).integers(8 * len(whole), size=60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            lth.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_no_changed_claim_passes(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "boast.safetensors"
    for claim, value in case.ticket.claims.items():
        if claim == "epsilon":
            continue
        changed = value + (1 if isinstance(value, int) else 0.2)
        save_ticket(replace(case.ticket, claims={**case.ticket.claims, claim: changed}), path)
        false = [finding.claim for finding in case.verified(path).findings if not finding.agrees]
        assert false == [claim]


def with_other_mask(ticket: Ticket) -> Ticket:
    """One weight of the last tensor is not kept any more."""
    name = list(ticket.masks)[-1]
    pruned = ticket.masks[name].dense()
    pruned[np.unravel_index(int(pruned.argmax()), pruned.shape)] = False
    return replace(ticket, masks={**ticket.masks, name: type(ticket.masks[name]).pack(pruned)})


def with_other_scales(ticket: Ticket) -> Ticket:
    """Those of the random numbers of the last tensor that has any are a little larger."""
    name, source, scales = [(name, source, source.scales) for name, source in ticket.random.items() if source.scales][
        -1
    ]
    larger = Scales(array=(scales.array * np.float16(1.25)).astype(np.float16))
    return replace(ticket, weights={**ticket.weights, name: replace(source, scales=larger)})


def with_other_code(ticket: Ticket) -> Ticket:
    """The scales of the last tensor in code are a little larger."""
    codes = {name: source for name, source in ticket.weights.items() if ".scale" in name}
    name, source = list(codes.items())[-1]
    assert isinstance(source, Stored)
    other = replace(source, array=(source.array * np.float16(1.25)).astype(np.float16))
    return replace(ticket, weights={**ticket.weights, name: other})


@pytest.mark.parametrize("method", METHODS)
def test_another_seed_or_mask_under_the_same_claims_does_not_pass(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "forged.safetensors"
    save_ticket(with_other_mask(case.ticket) if case.ticket.masks else with_other_code(case.ticket), path)
    assert not case.verified(path)
    if case.method.needs_target and case.ticket.drawn():  # of a search the accuracy of 16 samples may stay what it was
        save_ticket(replace(case.ticket, seed=case.ticket.seed + 1), path)
        assert not case.verified(path)


@pytest.mark.parametrize("method", [name for name in VARIANTS if name.startswith("subset_sum")])
def test_other_scales_under_the_same_claims_do_not_pass(cases: Any, tmp_path: Path, method: str) -> None:
    case, path = cases(method, home(method)), tmp_path / "forged.safetensors"
    save_ticket(with_other_scales(case.ticket), path)
    assert not case.verified(path)


@pytest.mark.parametrize("method", METHODS)
def test_another_target_and_other_data_are_named_as_such(cases: Any, method: str) -> None:
    case = cases(method, home(method))
    with pytest.raises(DataError, match="the target given is not the one that the ticket approximates"):
        case.verified(target=target(case.small, seed=1))
    other = dataset(case.small)
    other = replace(other, test_labels=labels(other.test_labels).flip(0))
    with pytest.raises(DataError, match="not the one that the ticket's accuracy was measured on"):
        case.verified(data=other)
