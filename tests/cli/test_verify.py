"""lth-verify: honest tickets of every construction pass; altered, truncated and forged ones do not."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparisons import comparison
from plain_choice import COPIES, ONE_BY_ONE, PLAIN_PATHS, UNMATCHED
from recorders import Memory
from safetensors.numpy import save_file

from lth_runner.cli import verify
from lth_runner.construct.burkholz import Burkholz
from lth_runner.construct.malach import Malach
from lth_runner.construct.malach_pairs import MalachPairs
from lth_runner.construct.orseau import Orseau
from lth_runner.construct.pensia import Pensia
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.hyperbolic import Hyperbolic
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import Method, Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.ticket import Ticket

LAW = Uniform(low=-1.0, high=1.0)
NETWORK = FullyConnected(inputs=16, hidden=7, outputs=4, depth=2, biases=True)
DATA = ["data.train_count=8", "data.test_count=50", "data.side=4", "data.classes=4"]
SUBSETS: dict[str, Any] = {"objective": "closest", "solver": MeetInMiddle()}
OFFER: dict[str, Any] = {"epsilon": 0.05, "c": 3, "n": 10, "distribution": LAW}
HALVES: dict[str, Any] = {"halves": "both", "signs": "as_drawn"}
SIGNS = SubsetSum(
    stored=[], **SUBSETS, **OFFER, sharing="weight", threshold_small=False, **ONE_BY_ONE,
    **{**UNMATCHED, "mask": "signs", "match": "row"},
)  # fmt: skip
METHODS: dict[str, Method] = {
    "subset_sum": SubsetSum(
        stored=[], **SUBSETS, **OFFER, sharing="weight", threshold_small=False, **ONE_BY_ONE, **UNMATCHED
    ),
    "malach": Malach(stored=[], **OFFER, sharing="weight", **ONE_BY_ONE),
    "signs": SIGNS,
    "signed": replace(SIGNS, mask="signed"),
    "pensia": Pensia(**PLAIN_PATHS, stored=[], **SUBSETS, **OFFER, **HALVES, gains="fitted", max_paths=24),
    "positive": Pensia(
        **PLAIN_PATHS, stored=[], **SUBSETS, **OFFER, halves="positive", signs="reserved", gains="fitted", max_paths=24
    ),
    "malach_pairs": MalachPairs(stored=[], **OFFER, **HALVES),
    "burkholz": Burkholz(**SUBSETS, **OFFER, **COPIES, twin="always", signs="as_drawn", max_paths=24),
    "orseau": Orseau(stored=[], **OFFER | {"distribution": Hyperbolic(low=0.01, high=1.0)}, **HALVES),
}


def dataset() -> Any:
    source = Synthetic(train_count=8, test_count=50, side=4, classes=4, seed=0, noise=0.2)
    return source.load(lambda line: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tickets of every construction as a comparison writes them, and their target."""
    path = tmp_path_factory.mktemp("tickets")
    rng = np.random.default_rng(1)
    target = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in parameter_shapes(NETWORK).items()}
    save_file(target, path / "target.safetensors")
    exact = {name: weight.astype(np.float64) for name, weight in target.items()}
    problem = Problem(network=NETWORK, target=exact, data=dataset(), streams=Streams(0), device="cpu")
    outcome = comparison().run(problem, METHODS, Memory())
    for name, ticket in outcome.tickets.items():
        save_ticket(ticket, path / f"{name}.safetensors")
    return path


def lth_verify(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> str | None:
    """What the command exits with: None, or the sentence it prints."""
    monkeypatch.setattr(sys, "argv", ["lth-verify", *map(str, words)])
    try:
        verify.main()
    except SystemExit as end:
        return str(end)
    return None


def everything(folder: Path) -> list[str]:
    return ["--target", str(folder / "target.safetensors"), "--data", "synthetic", *DATA]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_honest_tickets_hold(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert lth_verify(monkeypatch, folder / f"{name}.safetensors", *everything(folder)) is None
    output = capsys.readouterr().out
    assert output.count("holds") == 8 and "needs" not in output  # four counts, three errors, accuracy
    size = (folder / f"{name}.safetensors").stat().st_size
    assert f"{size:,} bytes" in output and f"{4 * (16 * 7 + 7 + 7 * 4 + 4):,} bytes" in output


def test_what_is_missing_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lth_verify(monkeypatch, folder / "pensia.safetensors") is None
    output = capsys.readouterr().out
    assert output.count("needs --target") == 3 and output.count("needs --data") == 1
    assert "not everything was checked: add --data and --target" in output


def flipped(ticket: Ticket) -> Ticket:
    """One bit of one mask changed; a bit whose weight matters."""
    name = list(ticket.masks)[-1]
    dense = ticket.masks[name].dense()
    place = np.unravel_index(int(dense.argmax()), dense.shape)
    dense[place] = False
    return replace(ticket, masks={**ticket.masks, name: Mask.pack(dense)})


def swapped(ticket: Ticket) -> Ticket:
    """As many bits as before, in other places."""
    name = list(ticket.masks)[-1]
    return replace(ticket, masks={**ticket.masks, name: Mask.pack(ticket.masks[name].dense()[::-1])})


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("forge", [lambda ticket: replace(ticket, seed=ticket.seed + 1), flipped, swapped])
def test_consistent_forgeries_do_not_hold(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, forge: Any
) -> None:
    ticket = read_ticket(folder / f"{name}.safetensors")
    save_ticket(forge(ticket), tmp_path / "forged.safetensors")
    found = lth_verify(monkeypatch, tmp_path / "forged.safetensors", *everything(folder))
    assert isinstance(found, str) and "it is not what it says" in found


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["accuracy", "weight_error_max", "weight_error_median", "over_epsilon", "kept"])
def test_every_claim_is_checked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claim: str) -> None:
    ticket = read_ticket(folder / "pensia.safetensors")
    claims = ticket.claims
    changed = claims[claim] + (1 if isinstance(claims[claim], int) else 0.1)
    save_ticket(replace(ticket, claims={**claims, claim: changed}), tmp_path / "forged.safetensors")
    found = lth_verify(monkeypatch, tmp_path / "forged.safetensors", *everything(folder))
    assert isinstance(found, str) and f"claims {claim} = " in found


def test_claims_nobody_can_check_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = read_ticket(folder / "pensia.safetensors")
    save_ticket(replace(ticket, claims={**ticket.claims, "beauty": 1.0}), tmp_path / "boast.safetensors")
    assert "cannot check: beauty" in str(lth_verify(monkeypatch, tmp_path / "boast.safetensors"))


def test_no_flipped_bit_and_no_truncation_passes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (folder / "pensia.safetensors").read_bytes()
    path = tmp_path / "damaged.safetensors"
    for bit in np.random.default_rng(0).integers(0, 8 * len(whole), 300):  # all bits: tests/core/test_ticket_file.py
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        assert isinstance(lth_verify(monkeypatch, path), str)
    for length in (0, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert isinstance(lth_verify(monkeypatch, path), str)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "fashionmnist"], "--data must be one of arrays, cifar10"),
        (["--data", "fashionmnist"], "(did you mean fashion_mnist?)"),
        (["--data", "a b=c"], "--data must be one of"),
        (["--data", "synthetic", "data.sied=3"], "data.sied is not a setting (did you mean data.side?)"),
        (["--data", "synthetic", "data.side=[3"], "the value of 'data.side=[3' cannot be read"),
        (["data.side=[3"], "the value of 'data.side=[3' cannot be read"),
        (["data"], "data is no setting of the dataset: write it as data.root=FOLDER"),
        (["malach.safetensors"], "is another file: check one ticket at a time"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str
) -> None:
    monkeypatch.chdir(folder)
    found = str(lth_verify(monkeypatch, "pensia.safetensors", *words))
    assert expected in found and found.startswith("lth-verify: ") and "\n" not in found


@pytest.mark.parametrize(
    ("data", "words", "code"),
    [
        ({"@": "photos"}, [], 1),
        ({"@": "photos"}, ["data.side=4"], 1),
        ({"@": "synthetic", "sied": 4}, [], 1),
        ({"@": "synthetic", "classes": -1}, [], 1),
        ({"@": "synthetic"}, ["data.sied=4"], 2),
        ({"@": "synthetic"}, ["data.classes=-1"], 2),
    ],
)
def test_what_the_file_says_is_wrong_and_what_was_typed_is_misused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], words: list[str], code: int
) -> None:
    ticket = read_ticket(folder / "pensia.safetensors")
    path = tmp_path / "other.safetensors"
    save_ticket(replace(ticket, origin=replace(ticket.origin, data=data)), path)
    monkeypatch.setattr(sys, "argv", ["lth-verify", str(path), *words])
    with pytest.raises(SystemExit) as stopped:
        verify.main()
    assert stopped.value.code == code


def test_a_target_of_another_shape_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"fc1.weight": np.zeros((3, 3), np.float32)}, tmp_path / "other.safetensors")
    found = lth_verify(monkeypatch, folder / "pensia.safetensors", "--target", tmp_path / "other.safetensors")
    assert "does not fit the network" in str(found) and "network.hidden" not in str(found)
    assert str(found).endswith(": give --target the weights that the ticket was made from")
    found = lth_verify(monkeypatch, folder / "pensia.safetensors", "--target", tmp_path / "missing.pt")
    assert str(found).endswith("missing.pt: give --target the weights that the ticket was made from")


def test_layers_without_a_path_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a layer keeps, and a sentence where that is nothing; the exit code is of the claims alone."""
    assert lth_verify(monkeypatch, folder / "malach.safetensors") is None
    assert "warning" not in capsys.readouterr().out
    ticket = read_ticket(folder / "malach.safetensors")
    source = ticket.weights["fc2.weight"]
    masks = {**ticket.masks, "fc2.weight": Mask.pack(np.zeros(source.shape, bool))}
    emptied = replace(ticket, masks=masks)
    claims = {name: getattr(emptied, name)() for name in ("drawn", "offered", "kept", "stored")}
    save_ticket(replace(emptied, claims=claims), tmp_path / "emptied.safetensors")
    assert lth_verify(monkeypatch, tmp_path / "emptied.safetensors") is None
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "the mask keeps no weight of fc2, and no kept weight of fc1 lies on a path from an input to an output" in said
    )
