"""lth-verify needs nothing retyped: the dataset, its settings and its test images stand in the ticket."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_mnist
import torch
from safetensors.numpy import save_file

import lth_runner as lth
from lth_runner.api import Loaded
from lth_runner.cli import run, verify
from lth_runner.core.errors import DataError
from lth_runner.data import mnist
from lth_runner.ticket.file import read_ticket, save_ticket

PLAIN = ["wandb.mode=disabled", "device=cpu", "target=synthetic", "method=subset_sum", "n=8", "network.hidden=5"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST of a few images in the cache, as if it had been downloaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTH_CACHE", str(tmp_path / "cache"))
    tiny_mnist.write(tmp_path / "cache" / "data" / "MNIST" / "raw")
    monkeypatch.setattr(mnist, "ARCHIVE", replace(mnist.ARCHIVE, checksums=tiny_mnist.SHA256))


def command(monkeypatch: pytest.MonkeyPatch, main: Any, *words: str | Path) -> str | None:
    """What a command exits with: None, or the sentence it prints."""
    monkeypatch.setattr(sys, "argv", ["lth", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return str(end)
    return None


def ticket_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> Path:
    assert command(monkeypatch, run.main, *PLAIN, *words) is None
    (ticket,) = Path("runs").glob("*/ticket.safetensors")
    return ticket


def accuracy_holds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path) -> None:
    capsys.readouterr()
    assert command(monkeypatch, verify.main, *words) is None
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if "accuracy" in line and "holds" in line]
    assert "needs --data" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["data=synthetic", "data.side=4", "data.noise=0.7", "data.seed=3", "network.inputs=16"],
        ["data=mnist", "data.normalize=true"],
        ["data=mnist", "data.normalize=true", "data.pool=2", "network.inputs=196"],
    ],
    ids=lambda words: " ".join(words),
)
def test_noisy_and_normalised_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    ticket = ticket_of(monkeypatch, *words)
    accuracy_holds(monkeypatch, capsys, ticket)
    recipe = read_ticket(ticket).origin.data
    assert recipe is not None and "root" not in recipe, "where files lie is nobody else's business"
    other = str(command(monkeypatch, verify.main, ticket, "--data", words[0].removeprefix("data=")))
    assert "not the one that the ticket's accuracy was measured on" in other and "leave out --data" in other


@pytest.mark.slow
def test_files_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ticket = ticket_of(monkeypatch, "data=mnist", "data.normalize=true")
    (tmp_path / "cache" / "data").rename(tmp_path / "elsewhere")
    accuracy_holds(monkeypatch, capsys, ticket, "data.root=elsewhere")


@pytest.mark.slow
def test_arrays_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    images = {"images": random.normal(3, 2, (30, 1, 4, 4)).astype(np.float32), "labels": np.arange(30) % 3}
    np.savez(tmp_path / "mine.npz", **images)
    words = ["data=arrays", "data.path=mine.npz", "data.test_count=20", "data.normalize=true", "network.inputs=16"]
    ticket = ticket_of(monkeypatch, *words)
    accuracy_holds(monkeypatch, capsys, ticket)
    np.savez(tmp_path / "mine.npz", **{**images, "images": images["images"] + 1e-3})
    assert "not the one that the ticket's accuracy" in str(command(monkeypatch, verify.main, ticket))
    (tmp_path / "mine.npz").unlink()
    assert "there is no file mine.npz: set data.path to an existing one" in str(
        command(monkeypatch, verify.main, ticket)
    )


@pytest.mark.slow
def test_named_inputs_without_labels_have_nothing_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = {"tokens": np.arange(24).reshape(4, 6) % 11, "real": np.ones((4, 6), np.int64)}
    save_file(tokens, tmp_path / "batch.safetensors")
    words = ["network=imported", "network.builder=small_networks.Language", "network.arguments.width=8"]
    words += ["network.output=logits", "data=inputs", "data.path=batch.safetensors", "data.mask=real", "target=own"]
    plain = [word for word in PLAIN if not word.startswith(("network.", "target="))]
    assert command(monkeypatch, run.main, *plain, *words) is None
    (ticket,) = Path("runs").glob("*/ticket.safetensors")
    assert "--trust small_networks" in capsys.readouterr().out
    (tmp_path / "batch.safetensors").unlink()
    assert command(monkeypatch, verify.main, ticket, "--trust", "small_networks") is None
    assert "accuracy" not in read_ticket(ticket, ["small_networks"]).claims


@pytest.mark.slow
def test_a_wrong_target_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = ticket_of(monkeypatch, "data=synthetic", "network.inputs=64")
    wrong = {"fc1.weight": torch.rand(5, 64), "fc2.weight": torch.rand(10, 5)}
    torch.save(wrong, tmp_path / "wrong.pt")
    found = str(command(monkeypatch, verify.main, ticket, "--target", tmp_path / "wrong.pt"))
    assert "the target given is not the one that the ticket approximates" in found and "\n" not in found


@pytest.mark.slow
def test_a_dataset_of_a_file_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ticket_of(monkeypatch, "data=mnist", "data.normalize=true")
    ticket = read_ticket(path)
    assert ticket.origin.data is not None
    code = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    for key in ("root", "normalize", "test_count"):
        forged = replace(ticket.origin, data={**ticket.origin.data, key: code})
        save_ticket(replace(ticket, origin=forged), tmp_path / "forged.safetensors")
        refused = str(command(monkeypatch, verify.main, tmp_path / "forged.safetensors"))
        assert "its dataset" in refused and "\n" not in refused
        with pytest.raises(DataError, match="its dataset"):
            lth.verify(Loaded(replace(ticket, origin=forged)))
    for key, value in (("colour", 1), ("test_count", "${oc.env:HOME}")):
        forged = replace(ticket.origin, data={**ticket.origin.data, key: value})
        save_ticket(replace(ticket, origin=forged), tmp_path / "forged.safetensors")
        refused = str(command(monkeypatch, verify.main, tmp_path / "forged.safetensors"))
        assert f"data.{key}" in refused or ("test_count" in refused and str(value) in refused)
    assert not (tmp_path / "made").exists()
