"""A ticket file holds all that the ticket is, and nothing about it can change unnoticed."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lth_runner.core.errors import DataError
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=4, hidden=3, outputs=2, depth=2, biases=False)
CLAIMS = {"accuracy": 0.1 + 0.2, "kept": 31.0}


def ticket() -> Ticket:
    law = Uniform(low=-0.3, high=1 / 3)
    tensors = {
        name: RandomTensor(shape=(*shape, 5), distribution=law, path=("coefficients", name))
        for name, shape in parameter_shapes(NETWORK).items()
    }
    masks = {name: Mask.pack(np.random.default_rng(0).random(tensor.shape) < 0.5) for name, tensor in tensors.items()}
    return Ticket(network=NETWORK, seed=2**62 + 1, tensors=tensors, masks=masks, facts={"n": 5})


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    save_ticket(ticket(), tmp_path / "ticket.safetensors", CLAIMS)
    found, claims = read_ticket(tmp_path / "ticket.safetensors")
    assert claims == CLAIMS
    assert (found.network, found.seed, found.tensors, found.facts) == (NETWORK, 2**62 + 1, ticket().tensors, {"n": 5})
    for name, mask in ticket().masks.items():
        np.testing.assert_array_equal(found.masks[name].dense(), mask.dense())
    assert found.kept() == ticket().kept()
    np.testing.assert_array_equal(
        found.tensors["fc1.weight"].draw(found.seed), ticket().tensors["fc1.weight"].draw(2**62 + 1)
    )


def test_no_bit_can_flip_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "ticket.safetensors"
    save_ticket(ticket(), path, CLAIMS)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            read_ticket(path)


@pytest.mark.parametrize("length", [0, 1, 8, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "ticket.safetensors"
    save_ticket(ticket(), path, CLAIMS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="no ticket"):
        read_ticket(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_ticket(tmp_path / "none.safetensors")
    save_file({"weight": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="no ticket"):
        read_ticket(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    "target", ["os.system", "lth_runner.core.files.write_json", "lth_runner.networks.fc.torch", "subprocess.Popen"]
)
def test_a_file_cannot_name_code_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    path = tmp_path / "ticket.safetensors"
    monkeypatch.setattr("lth_runner.ticket.file._recipe", lambda _: {"_target_": target})
    save_ticket(ticket(), path, CLAIMS)
    with pytest.raises(DataError, match="not a network or distribution"):
        read_ticket(path)
