"""Other people's checkpoints: what fits is taken as it is, what doesn't is refused with the reason."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from safetensors.torch import save_file

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.streams import Streams
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import filled
from lth_runner.targets.checkpoint import CheckpointTarget

NETWORK = FullyConnected(inputs=6, hidden=4, outputs=3, depth=3, biases=False)
WITH_BIASES = FullyConnected(inputs=6, hidden=4, outputs=3, depth=3, biases=True)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STATE = collections.OrderedDict(
    {"first.weight": random(4, 6), "then.weight": random(4, 4, seed=1), "last.weight": random(3, 4, seed=2)}
)
BIASES = {"first.bias": random(4, seed=3), "then.bias": random(4, seed=4), "last.bias": random(3, seed=5)}


def read(content: Any, folder: Path, network: FullyConnected = NETWORK, name: str = "x.pt") -> dict[str, np.ndarray]:
    path = folder / name
    torch.save(content, path) if path.suffix == ".pt" else save_file(content, path)
    return CheckpointTarget(path=str(path), names=None).weights(network, None, Streams(0), "cpu", Memory())


def check(found: dict[str, np.ndarray], state: dict[str, torch.Tensor] = STATE) -> None:
    assert list(found) == ["fc1.weight", "fc2.weight", "fc3.weight"]
    for array, tensor in zip(found.values(), state.values(), strict=True):
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, tensor.double().numpy())


def test_a_state_dict_is_taken_in_its_order(tmp_path: Path) -> None:
    check(read(STATE, tmp_path))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_a_training_scripts_checkpoint_is_unwrapped(tmp_path: Path, wrapper: str) -> None:
    prefixed = {f"module.{name}": tensor for name, tensor in STATE.items()}
    check(read({"epoch": 3, "best": 0.97, wrapper: prefixed}, tmp_path))


def test_safetensors_are_taken_by_shape_and_then_by_number(tmp_path: Path) -> None:
    deep = FullyConnected(inputs=4, hidden=4, outputs=4, depth=11, biases=False)
    state = {f"fc{i}.weight": random(4, 4, seed=i) for i in range(1, 12)}  # by letters fc10 would come before fc2
    found = read(state, tmp_path, deep, "x.safetensors")
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.double().numpy())
    check(read(dict(STATE), tmp_path, name="y.safetensors"))  # here "last" sorts before "then", and shapes decide


def test_half_precision_is_taken_exactly(tmp_path: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        state = {name: tensor.to(dtype) for name, tensor in STATE.items()}
        check(read(state, tmp_path), state)
        check(read(state, tmp_path, name="x.safetensors"), state)


def test_a_network_of_another_size_is_refused_with_both_lists(tmp_path: Path) -> None:
    wider = FullyConnected(inputs=6, hidden=5, outputs=3, depth=3, biases=False)
    with pytest.raises(ConfigError) as caught:
        read(STATE, tmp_path, wider)
    assert "it has first.weight 4x6, then.weight 4x4, last.weight 3x4" in str(caught.value)
    assert "the network needs fc1.weight 5x6, fc2.weight 5x5, fc3.weight 3x5" in str(caught.value)


@pytest.mark.parametrize("depth", [2, 4])
def test_a_layer_too_many_or_too_few_is_refused(tmp_path: Path, depth: int) -> None:
    with pytest.raises(ConfigError, match="does not fit the network"):
        read(STATE, tmp_path, FullyConnected(inputs=6, hidden=4, outputs=3, depth=depth, biases=False))


def test_biases_are_not_lost(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"first.bias 4, .*: add network.biases=true"):
        read(STATE | BIASES, tmp_path)
    found = read(STATE | BIASES, tmp_path, WITH_BIASES)
    filled(WITH_BIASES, found)
    for theirs, ours in zip(BIASES.values(), ("fc1.bias", "fc2.bias", "fc3.bias"), strict=True):
        np.testing.assert_array_equal(found[ours], theirs.double().numpy())


def test_zero_biases_are_no_loss(tmp_path: Path) -> None:
    check(read(STATE | {name: torch.zeros_like(bias) for name, bias in BIASES.items()}, tmp_path))


def test_biases_that_are_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing for the network's fc1.bias 4, .*network.biases=false"):
        read(STATE, tmp_path, WITH_BIASES)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    state = {name: tensor.clone() for name, tensor in STATE.items()}
    state["then.weight"][1, 1] = bad
    with pytest.raises(DataError, match=r"then\.weight has NaN or infinite values"):
        read(state, tmp_path)


@pytest.mark.parametrize("content", [torch.nn.Linear(2, 2), {"weight": Path("x")}])
def test_a_pickle_of_more_than_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match="more than tensors, which is never unpickled; save it with"):
        read(content, tmp_path)


@pytest.mark.parametrize("content", [[1, 2], 3, torch.ones(2), {"lr": 0.1}, {}])
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match="save it with"):
        read(content, tmp_path)


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x80\x02" + b"\xff" * 50, b"PK\x03\x04 not a zip"])
def test_an_unreadable_file_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} cannot be read") as caught:
        CheckpointTarget(path=str(tmp_path / name), names=None).weights(NETWORK, None, Streams(0), "cpu", Memory())
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_path_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no file {tmp_path / 'none.pt'}: set target.path"):
        CheckpointTarget(path=str(tmp_path / "none.pt"), names=None).weights(NETWORK, None, Streams(0), "cpu", Memory())
    for path in (None, ""):
        with pytest.raises(ConfigError, match=r"add target\.path=FILE"):
            CheckpointTarget(path=path, names=None)
