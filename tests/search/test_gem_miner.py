"""Gem-Miner: the ticket is what was trained, kept counts are honest, and a training that is cut off goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorders import Memory
from searching import PLAIN, REDUNDANT, Cut, bits, problem

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.kaiming import SignedConstant
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.ticket import measure_ticket
from lth_runner.search.gem_miner import GemMiner
from lth_runner.ticket.materialise import materialise

METHOD = GemMiner(
    frozen=[], biases="zero",
    density=0.3, scope="global", epochs=5, batch=32, learning_rate=1.0, momentum=0.9, weight_decay=0.0, validation=100,
    distribution=SignedConstant(gain=2**0.5, density=1.0), scores=Uniform(low=0.0, high=1.0), penalty=1e-4, period=2,
)  # fmt: skip


@pytest.mark.parametrize("network", [PLAIN, REDUNDANT])
def test_the_accuracy_is_that_of_the_last_epoch(network: Any, tmp_path: Path) -> None:
    recorder = Memory(tmp_path)
    ticket = METHOD.find(problem(network=network), recorder).ticket
    measured = measure_ticket(
        materialise(ticket), problem(network=network), epsilon=0.01, outputs=False, approximates=False
    )
    assert measured["accuracy"] == recorder.lines[-1]["test_accuracy"]
    assert ticket.weights == METHOD.space(problem(network=network)).weights
    if network is PLAIN:
        assert measured["accuracy"] > 0.25  # ten classes: guesses get as many of 100 right once in 10^5


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_no_more_is_kept_than_asked_for(density: float, scope: str, tmp_path: Path) -> None:
    ticket = replace(METHOD, density=density, scope=scope).find(problem(), Memory(tmp_path)).ticket
    assert 0 < ticket.kept() <= round(density * ticket.offered())
    if scope == "layer":
        assert all(mask.kept() <= round(density * mask.size) for mask in ticket.masks.values())


def test_a_penalty_that_is_too_large_is_seen(tmp_path: Path) -> None:
    """It drives all scores below 1/2: nothing is kept, in both layers, and the ticket says so."""
    ticket = replace(METHOD, penalty=1.0).find(problem(), Memory(tmp_path)).ticket
    assert ticket.kept() == 0
    assert ticket.facts["collapsed_layers"] == 2


def test_nothing_collapses_unasked(tmp_path: Path) -> None:
    ticket = METHOD.find(problem(), Memory(tmp_path)).ticket
    assert ticket.facts["collapsed_layers"] == 0
    assert all(mask.kept() for mask in ticket.masks.values())


def test_first_scores_without_training_keep_a_half(tmp_path: Path) -> None:
    """The paper's start: p uniform on [0, 1], rounded; a rate of almost nothing leaves them there."""
    method = replace(METHOD, density=1.0, learning_rate=1e-9, distribution=SignedConstant(gain=1.0, density=1.0))
    ticket = method.find(problem(), Memory(tmp_path)).ticket
    for name, mask in ticket.masks.items():
        first = Streams(0).uniform(("scores", name), 0, mask.size).reshape(mask.shape).astype(np.float32)
        assert np.array_equal(mask.dense(), first >= 0.5)


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    once = METHOD.find(problem(), Memory(tmp_path / "once")).ticket
    assert bits(METHOD.find(problem(), Memory(tmp_path / "again")).ticket) == bits(once)
    assert bits(METHOD.find(problem(seed=1), Memory(tmp_path / "other")).ticket) != bits(once)


@pytest.mark.parametrize("epoch", [2, 3, 5])
def test_a_second_attempt_goes_on(epoch: int, tmp_path: Path) -> None:
    """Whether it was cut off before a round of pruning or after one."""
    told, recorder = Memory(tmp_path / "whole"), Memory(tmp_path)
    whole = METHOD.find(problem(), told).ticket
    with pytest.raises(KeyboardInterrupt):
        METHOD.find(problem(), Cut(tmp_path, epoch))
    ticket = METHOD.find(problem(), recorder).ticket
    assert [label for label, _, _ in recorder.bars] == [f"epoch {e}/5" for e in range(epoch, 6)]
    assert bits(ticket) == bits(whole)
    assert ticket.facts == whole.facts
    assert recorder.lines == told.lines


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"density": 1.5}, "density"),
        ({"scope": "rows"}, "scope"),
        ({"penalty": -1.0}, "penalty"),
        ({"period": 0}, "period"),
        ({"period": 5}, "set method.period lower"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(METHOD, **wrong)


def test_scores_outside_their_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set method/distribution@method\.scores=uniform"):
        replace(METHOD, scores=Uniform(low=-1.0, high=1.0)).find(problem(), Memory(tmp_path))
