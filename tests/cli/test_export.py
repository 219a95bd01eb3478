"""lth-export: the pruned network and its masks as files of other programs, and what cannot be written."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_choice import ONE_BY_ONE, UNMATCHED
from recorders import Memory
from safetensors.torch import load_file

from lth_runner.api import Loaded
from lth_runner.cli import export
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.resnet import ResNet
from lth_runner.problem import Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.targets.own import OwnTarget
from lth_runner.ticket.file import read_ticket, save_ticket

NETWORK = ResNet(channels=1, width=4, blocks=1, outputs=3, shortcut="projection")
METHOD = SubsetSum(
    objective="closest", epsilon=0.01, c=3, n=6, stored=["fc.*"], sharing="weight", threshold_small=False,
    distribution=Uniform(low=-1.0, high=1.0), solver=MeetInMiddle(), **ONE_BY_ONE, **UNMATCHED,
)  # fmt: skip


@pytest.fixture
def ticket(tmp_path: Path) -> Path:
    recorder: Recorder = Memory()
    target = OwnTarget().weights(NETWORK, None, Streams(0), "cpu", recorder)
    problem = Problem(network=NETWORK, target=target, data=None, streams=Streams(0), device="cpu")
    save_ticket(METHOD.find(problem, recorder).ticket, tmp_path / "ticket.safetensors")
    return tmp_path / "ticket.safetensors"


def lth_export(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> str | None:
    """What the command exits with: None, or the sentence it prints."""
    monkeypatch.setattr(sys, "argv", ["lth-export", *map(str, words)])
    try:
        export.main()
    except SystemExit as end:
        return str(end)
    return None


def read(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_the_state_dict_is_that_of_the_pruned_network(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    path = tmp_path / f"net{ending}"
    assert lth_export(monkeypatch, ticket, "--to", path) is None
    assert f"state dict: {path}" in capsys.readouterr().out
    module = Loaded(read_ticket(ticket)).module()
    found, expected = read(path), module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    plain = read_ticket(ticket).architecture.module()  # an ordinary module takes it
    plain.load_state_dict(found)
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(plain.eval()(x), module(x))


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_masks_are_named_bools(ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = tmp_path / f"masks{ending}"
    assert lth_export(monkeypatch, ticket, "--masks", path) is None
    found, written = read(path), read_ticket(ticket)
    assert found.keys() == written.masks.keys() and all(mask.dtype == torch.bool for mask in found.values())
    assert sum(int(mask.sum()) for mask in found.values()) == written.kept()
    assert all(tuple(mask.shape) == written.places(name) for name, mask in found.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to write: add --to net.pt, --masks masks.safetensors or --onnx net.onnx"),
        (["--to", "net.h5"], "net.h5 ends neither in .pt nor in .safetensors"),
        (["--to", "net"], "net ends neither in .pt nor in .safetensors"),
        (["--masks", "masks.npz"], "masks.npz ends neither in .pt nor in .safetensors"),
        (["--to", "net.pt", "--at", "start"], "not trained from a start of its own"),
    ],
)
def test_refusals_are_one_sentence_and_write_nothing(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = str(lth_export(monkeypatch, ticket, *words))
    assert found.startswith("lth-export: ") and message in found and "\n" not in found
    assert [path.name for path in tmp_path.iterdir()] == ["ticket.safetensors"]


def test_no_ticket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = str(lth_export(monkeypatch, tmp_path / "nowhere.safetensors", "--to", tmp_path / "net.pt"))
    assert found.startswith("lth-export: there is no file ")
    assert str(lth_export(monkeypatch, tmp_path, "--to", tmp_path / "net.pt")).endswith(
        "is a folder: name the ticket.safetensors of a run folder"
    )
    os.mkfifo(tmp_path / "pipe.safetensors")  # which would be waited for
    found = str(lth_export(monkeypatch, tmp_path / "pipe.safetensors", "--to", tmp_path / "net.pt"))
    assert found.startswith(f"lth-export: {tmp_path / 'pipe.safetensors'} is no file: name the ticket.safetensors")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "ticket.safetensors"], "ticket.safetensors is named twice"),
        (["--to", "net.pt", "--masks", "./net.pt"], "net.pt is named twice"),
        (["--to", "net.pt", "--masks", "masks.txt"], "masks.txt ends neither in .pt nor in .safetensors"),
        (["--to", "net.pt", "--shape", "64"], "--shape is of the input for --onnx"),
        (["--to", "net.pt", "--onnx", "net.onnx"], "--onnx needs "),
        (["--to", ""], "its name is empty"),
    ],
)
def test_nothing_is_written_where_not_everything_can_be(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = ticket.read_bytes()
    assert message in str(lth_export(monkeypatch, "ticket.safetensors", *words))
    assert [path.name for path in tmp_path.iterdir()] == ["ticket.safetensors"]
    assert ticket.read_bytes() == before


def test_the_home_folder_is_known_where_the_shell_has_not_seen_it(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lth_export(monkeypatch, ticket, "--to=~/net.pt") is None
    assert (tmp_path / "net.pt").exists()


def test_an_unknown_option_is_refused(ticket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "invalid choice: 'middle'" in str(lth_export(monkeypatch, ticket, "--at", "middle"))


@pytest.mark.skipif(find_spec("onnxruntime") is not None, reason="the extra is installed")
def test_onnx_without_the_extra_is_refused_in_one_sentence(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = str(lth_export(monkeypatch, ticket, "--onnx", tmp_path / "net.onnx", "--shape", "1,8,8"))
    assert found == "lth-export: --onnx needs onnxruntime: pip install 'lth_runner[onnx]'"
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_onnx_computes_what_torch_does(ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "net.onnx"
    assert lth_export(monkeypatch, ticket, "--onnx", path, "--shape", "1,8,8") is None
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = torch.rand(5, 1, 8, 8)  # another batch than that of the export
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), Loaded(read_ticket(ticket)).module()(x), rtol=1e-4, atol=1e-4)
    assert "add --shape 1,28,28" in str(lth_export(monkeypatch, ticket, "--onnx", path))
