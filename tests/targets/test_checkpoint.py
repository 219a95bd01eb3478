"""Other people's checkpoints: what fits is taken as it is, what doesn't is refused with the reason."""

import collections
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from normed_network import Normed, Tied
from recorders import Memory
from safetensors.torch import save_file
from torch.nn.utils import prune

from lth_runner.core.errors import ConfigError, DataError, LthError
from lth_runner.core.streams import Streams
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, filled
from lth_runner.targets.checkpoint import CheckpointTarget

NETWORK = FullyConnected(inputs=6, hidden=4, outputs=3, depth=3, biases=False)
WITH_BIASES = FullyConnected(inputs=6, hidden=4, outputs=3, depth=3, biases=True)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STATE = collections.OrderedDict(
    {"first.weight": random(4, 6), "then.weight": random(4, 4, seed=1), "last.weight": random(3, 4, seed=2)}
)
BIASES = {"first.bias": random(4, seed=3), "then.bias": random(4, seed=4), "last.bias": random(3, seed=5)}


def read(
    content: Any,
    folder: Path,
    network: Architecture = NETWORK,
    name: str = "x.pt",
    names: Any = None,
    recorder: Memory | None = None,
) -> dict[str, np.ndarray]:
    path = folder / name
    torch.save(content, path) if path.suffix == ".pt" else save_file(content, path)
    target = CheckpointTarget(path=str(path), names=names)
    return target.weights(network, None, Streams(0), "cpu", recorder or Memory())


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


@pytest.mark.parametrize("key", ["net", "network", "generator"])
def test_the_only_state_dict_of_a_file_is_found_under_any_name(tmp_path: Path, key: str) -> None:
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1}]}
    check(read({key: dict(STATE), "optimizer": optimizer, "epoch": 3}, tmp_path))
    with pytest.raises(DataError, match=rf"several state dicts \({key}, ema\): save the one that is meant with"):
        read({key: dict(STATE), "ema": dict(STATE)}, tmp_path)


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_a_network_pruned_by_torch_is_taken_as_it_computes(tmp_path: Path, name: str) -> None:
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 4, bias=False), torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 3, bias=False)
    )
    for layer in (module[0], module[2]):
        prune.l1_unstructured(layer, "weight", amount=0.5)
    found = read(module.state_dict(), tmp_path, name=name)
    check(found, {str(i): getattr(layer, "weight").detach() for i, layer in enumerate(module)})  # noqa: B009
    assert (found["fc1.weight"] == 0).sum() == 12


def test_batch_norms_without_a_place_are_called_batch_norms(tmp_path: Path) -> None:
    module = torch.nn.Sequential(
        collections.OrderedDict(
            fc1=torch.nn.Linear(6, 4, bias=False), bn1=torch.nn.BatchNorm1d(4),
            fc2=torch.nn.Linear(4, 4, bias=False), fc3=torch.nn.Linear(4, 3, bias=False),
        )
    )  # fmt: skip
    renamed = {f"net_{name}": tensor for name, tensor in module.state_dict().items()}
    for state in (module.state_dict(), renamed):
        for network in (NETWORK, WITH_BIASES):
            with pytest.raises(
                ConfigError, match=r"holds batch norms \(\w*bn1\) and this network has none: fold them"
            ) as raised:
                read(state, tmp_path, network)
            assert "bias" not in str(raised.value)


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
@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"\x80\x02" + b"\xff" * 50, b"PK\x03\x04 not a zip", b"\x80\x04\x95cos\n."]
)
def test_an_unreadable_file_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    """Without a word of torch's about old pickles, either."""
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(DataError, match=f"{name} cannot be read") as caught:
            CheckpointTarget(path=str(tmp_path / name), names=None).weights(NETWORK, None, Streams(0), "cpu", Memory())
    assert "\n" not in str(caught.value) and not said


def test_a_missing_file_and_a_missing_path_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no file {tmp_path / 'none.pt'}: set target.path"):
        CheckpointTarget(path=str(tmp_path / "none.pt"), names=None).weights(NETWORK, None, Streams(0), "cpu", Memory())
    for path in (None, ""):
        with pytest.raises(ConfigError, match=r"add target\.path=FILE"):
            CheckpointTarget(path=path, names=None)


DEEP = FullyConnected(inputs=6, hidden=4, outputs=3, depth=4, biases=False)
STRANGE = collections.OrderedDict(
    {"out": random(3, 4), "b": random(4, 4, seed=2), "a": random(4, 4, seed=1), "in": random(4, 6, seed=3)}
)
NAMES = {"a": "fc2.weight", "b": "fc3.weight"}


def test_names_decide_whatever_the_order(tmp_path: Path) -> None:
    state = {
        f"fc{i}.weight": random(*shape, seed=i) for i, shape in ((4, (3, 4)), (2, (4, 4)), (3, (4, 4)), (1, (4, 6)))
    }
    for wrapped in (state, {f"module.model.{name}": tensor for name, tensor in state.items()}):
        recorder = Memory()
        found = read(wrapped, tmp_path, DEEP, recorder=recorder)
        assert list(found) == [f"fc{i}.weight" for i in (1, 2, 3, 4)]
        for name, tensor in state.items():
            np.testing.assert_array_equal(found[name], tensor.double().numpy())
        assert len(recorder.said) == (wrapped is not state)


def test_layers_of_one_shape_under_other_names_are_refused_with_both_lists(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(STRANGE, tmp_path, DEEP)
    for part in (
        "it has b 4x4, a 4x4",
        "the network fc2.weight 4x4, fc3.weight 4x4",
        "'target.names={b: fc2.weight, ...}'",
    ):
        assert part in str(caught.value)


def test_names_of_another_numbering_are_no_names(tmp_path: Path) -> None:
    """Counted from 0, fc2 is the network's fc3: one name that fits must not decide where not all do."""
    state = {f"fc{i}.weight": random(*shape, seed=i) for i, shape in enumerate([(4, 6), (4, 4), (4, 4), (3, 4)])}
    with pytest.raises(ConfigError, match=r"it has fc1.weight 4x4, fc2.weight 4x4"):
        read(state, tmp_path, DEEP)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("names", [NAMES, {"b": "fc3.weight"}])
def test_given_names_decide(tmp_path: Path, names: dict[str, str], in_file: bool) -> None:
    (tmp_path / "names.yaml").write_text("".join(f"{theirs}: {ours}\n" for theirs, ours in names.items()))
    recorder = Memory()
    given = str(tmp_path / "names.yaml") if in_file else names
    found = read(STRANGE, tmp_path, DEEP, names=given, recorder=recorder)
    for theirs, ours in (NAMES | {"in": "fc1.weight", "out": "fc4.weight"}).items():
        np.testing.assert_array_equal(found[ours], STRANGE[theirs].double().numpy())
    (line,) = recorder.said
    assert line.endswith("in -> fc1.weight, a -> fc2.weight, b -> fc3.weight, out -> fc4.weight")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"aa": "fc2.weight"}, "target.names has aa, which is no tensor of the file"),
        ({"a": "fc2.wieght"}, r"fc2.wieght, which is no tensor of the network \(did you mean fc2.weight"),
        ({"a": "fc1.weight"}, "a 4x4 for fc1.weight 4x6: their shapes must be equal"),
        ({"a": "fc2.weight", "b": "fc2.weight"}, "each once"),
        ({"a": 3}, "must pair names"),
        ([1], "must pair names"),
    ],
)
def test_names_that_cannot_be_meant_are_refused(tmp_path: Path, names: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(STRANGE, tmp_path, DEEP, names=names)


@pytest.mark.parametrize("content", [None, "a: [", "just words", "- a"])
def test_a_file_of_names_that_is_none_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "names.yaml").write_text(content)
    with pytest.raises(LthError, match=r"names\.yaml") as caught:
        read(STRANGE, tmp_path, DEEP, names=str(tmp_path / "names.yaml"))
    assert "\n" not in str(caught.value)


def test_a_bias_goes_where_its_weight_goes(tmp_path: Path) -> None:
    """Two biases of one length: their layers decide, not the order of the file."""
    shuffled = dict(reversed((STATE | BIASES).items()))
    found = read(shuffled, tmp_path, WITH_BIASES)
    np.testing.assert_array_equal(found["fc1.bias"], BIASES["first.bias"].double().numpy())
    np.testing.assert_array_equal(found["fc2.bias"], BIASES["then.bias"].double().numpy())


def test_buffers_and_whole_numbers_come_along(tmp_path: Path) -> None:
    network = Normed(hidden=5)
    module = network.module()
    module(torch.randn(8, 36))
    state = module.state_dict()
    found = read(state, tmp_path, network)
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == (np.float64 if tensor.is_floating_point() else np.int64)
        np.testing.assert_array_equal(found[name], tensor.to(torch.float64).numpy())
    filled(network, found)
    del state["2.num_batches_tracked"]  # as in files of old versions of torch
    assert read(state, tmp_path, network)["2.num_batches_tracked"] == 0


def test_what_one_norm_holds_could_be_exchanged(tmp_path: Path) -> None:
    """Scale, shift, mean and variance have one shape."""
    state = {f"net_{name.replace('.', '_')}": tensor for name, tensor in Normed(hidden=5).module().state_dict().items()}
    with pytest.raises(ConfigError, match="of equal shapes it cannot be told which is which"):
        read(state, tmp_path, Normed(hidden=5))


def test_a_tied_weight_is_one(tmp_path: Path) -> None:
    state = Tied().module().state_dict()
    assert list(state) == ["embed.weight", "middle.weight", "head.weight"]
    found = read(state, tmp_path, Tied())
    assert list(found) == ["embed.weight", "middle.weight"]
    only_last = {name: tensor for name, tensor in state.items() if name != "embed.weight"}
    np.testing.assert_array_equal(read(only_last, tmp_path, Tied())["embed.weight"], found["embed.weight"])
    with pytest.raises(ConfigError, match=r"other values for head.weight than for embed.weight"):
        read({**state, "head.weight": random(4, 6)}, tmp_path, Tied())
