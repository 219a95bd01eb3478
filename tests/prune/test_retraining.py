"""Winning tickets trained again: equal bits, or by how much they differ, and what cannot be trained again."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pruning import method, problem
from recorders import Memory
from searching import DATA

import lth_runner as lth
from lth_runner.cli import verify
from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.measure.claims import claimed
from lth_runner.measure.ticket import measure_ticket
from lth_runner.prune.retraining import retrained
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Stored
from lth_runner.ticket.ticket import Ticket

pytestmark = pytest.mark.usefixtures("one_thread")


def ticket_of(tmp_path: Path, asked: Any) -> Ticket:
    """As it is read back from its file."""
    found = asked.find(problem(), Memory(tmp_path)).ticket
    measured = measure_ticket(materialise(found), problem(), epsilon=1.0, outputs=False, approximates=False)
    save_ticket(claimed(found, measured, asked, problem(), epsilon=1.0), tmp_path / "ticket.safetensors")
    return read_ticket(tmp_path / "ticket.safetensors")


WINNING = [
    ("imp", {"density": 0.512}),
    ("imp", {"density": 0.512, "rewind": "3it"}),
    ("imp", {"density": 0.512, "control": "reinitialised"}),
    ("snip", {"density": 0.3, "training": {"schedule": "cosine"}}),
    ("early_bird", {"unit": "weight", "density": 0.5, "draw": "1ep"}),
    ("greedy_selection", {"objective": "layer", "density": 0.5}),
]


@pytest.mark.parametrize(("name", "settings"), WINNING, ids=str)
def test_a_winning_ticket_comes_out_equal_to_the_bit(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    ticket = ticket_of(tmp_path, method(name, **settings))
    again = retrained(ticket, DATA, Memory(tmp_path / "again"))
    assert (again.differing, again.largest) == (0, 0.0)
    assert again.numbers == sum(np.prod(source.shape) for source in ticket.weights.values())


def altered(ticket: Ticket, by: float) -> Ticket:
    source = ticket.weights["fc3.bias"]
    assert isinstance(source, Stored)
    array = source.array.copy()
    array[0] += by
    return replace(ticket, weights={**ticket.weights, "fc3.bias": replace(source, array=array)})


def test_by_how_much_it_differs(tmp_path: Path) -> None:
    ticket = altered(ticket_of(tmp_path, method("snip", density=0.3)), 0.25)
    again = retrained(ticket, DATA, Memory(tmp_path / "again"))
    assert again.differing == 1 and again.largest == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (method("imp", density=0.8, retrain="fine_tune"), "imp with retrain=fine_tune began with trained weights"),
        (method("greedy_selection", objective="layer", density=0.5, retrain=False), "records no training"),
        (method_of("random_pruning", {"density": 0.5}), "records no training"),
    ],
    ids=["fine_tune", "selected", "strong"],
)
def test_what_cannot_be_trained_again_is_refused(tmp_path: Path, asked: Any, said: str) -> None:
    ticket = ticket_of(tmp_path, asked)
    with pytest.raises(ConfigError, match=said):
        retrained(ticket, DATA, Memory(tmp_path / "again"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "os.mkdir"}, "its optimizer is code of os: if you trust that, add --trust os"),
        ({"batch": -1}, "cannot be done again: batch must be at least 1"),
    ],
)
def test_a_file_runs_nothing(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    ticket = ticket_of(tmp_path, method("snip", density=0.3))
    settings = dict(ticket.origin.method)
    forged = replace(ticket.origin, method={**settings, "training": {**settings["training"], **changes}})
    with pytest.raises(DataError, match=said):
        retrained(replace(ticket, origin=forged), DATA, Memory(tmp_path / "again"))


def lth_verify(monkeypatch: pytest.MonkeyPatch, ticket: Path) -> object:
    data = ["--data", "synthetic", "data.train_count=400", "data.test_count=100", "data.side=6"]
    monkeypatch.setattr(sys, "argv", ["lth-verify", str(ticket), *data, "--retrain"])
    try:
        return verify.main()
    except SystemExit as end:
        return end.code


def test_lth_verify_trains_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, path = ticket_of(tmp_path, method("snip", density=0.3)), tmp_path / "ticket.safetensors"
    assert lth_verify(monkeypatch, path) is None
    assert "all 1,122 weights come out equal to the bit" in " ".join(capsys.readouterr().out.split())
    save_ticket(altered(ticket, 1e-6), path)  # too little for the accuracy to tell
    assert lth_verify(monkeypatch, path) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"lth-verify: 1 of 1,122 weights of {path} come out otherwise") and said.count("\n") == 1


def test_lth_verify_refuses_before_it_checks_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket_of(tmp_path, method_of("random_pruning", {"density": 0.5}))
    assert lth_verify(monkeypatch, tmp_path / "ticket.safetensors") == 2
    out, said = capsys.readouterr()
    assert out == "" and said == (
        "lth-verify: the ticket records no training, so there is nothing to train again: leave out --retrain\n"
    )


def test_the_library_trains_again(tmp_path: Path) -> None:
    ticket_of(tmp_path, method("snip", density=0.3))
    again = lth.retrain(tmp_path / "ticket.safetensors", data=DATA, progress=False)
    assert again.differing == 0 and again.numbers == 1122
