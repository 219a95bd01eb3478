"""Trained targets: trained once, kept, checked when read, and trained anyway where nothing can be kept."""

import linecache
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_recipe import PLAIN
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.measure.accuracy import accuracy
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.imported import Imported
from lth_runner.networks.interface import filled, parameter_shapes
from lth_runner.targets import trained
from lth_runner.targets.trained import TrainedTarget
from lth_runner.training.start import built, start_

pytestmark = pytest.mark.usefixtures("one_thread")

DATA: Any = Synthetic(train_count=500, test_count=200, side=6, classes=4, seed=0, noise=0.1).load(lambda line: None)
NETWORK = FullyConnected(inputs=36, hidden=12, outputs=4, depth=2, biases=False)

Weights = dict[str, np.ndarray]


def target(cache: Path, **changes: Any) -> TrainedTarget:
    plain = TrainedTarget(
        augment=None,
        cache=str(cache),
        seed=0,
        epochs=3,
        frozen=[],
        batch=25,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.0005,
        **PLAIN,
    )
    return replace(plain, **changes)


def weights(cache: Path, **changes: Any) -> tuple[Weights, Memory]:
    recorder = Memory()
    found = target(cache, **changes).weights(NETWORK, DATA, Streams(9), "cpu", recorder)
    return found, recorder


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_it_learns_and_says_how_well(tmp_path: Path) -> None:
    found, recorder = weights(tmp_path)
    assert {name: w.shape for name, w in found.items()} == parameter_shapes(NETWORK)
    assert all(w.dtype == np.float64 for w in found.values())
    tested = accuracy(filled(NETWORK, found), DATA.test_inputs, DATA.test_labels, 100)
    assert tested > 0.9  # four prototypes a hundred noise widths apart: what is not learnt is at 0.25
    assert recorder.said == [f"target: test accuracy {tested:.4f}, trained now"]
    assert [line["target_epoch"] for line in recorder.lines] == [1, 2, 3]
    assert recorder.lines[-1]["target_accuracy"] == tested


def test_the_second_run_reads_what_the_first_has_trained(tmp_path: Path) -> None:
    first, _ = weights(tmp_path)
    second, recorder = weights(tmp_path)
    assert same(first, second)
    assert not recorder.bars
    assert "trained before" in recorder.said[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 2},
        {"batch": 30},
        {"learning_rate": 0.05},
        {"momentum": 0.8},
        {"weight_decay": 0.0},
        {"optimizer": "RMSprop", "learning_rate": 0.001},
        {"optimizer_arguments": {"nesterov": True}},
        {"schedule": "constant"},
        {"schedule": "ExponentialLR", "schedule_arguments": {"gamma": 0.5}},
        {"schedule_unit": "step"},
        {"frozen": ["fc1"]},
    ],
)
def test_every_setting_makes_another_target(tmp_path: Path, change: dict[str, Any]) -> None:
    first, _ = weights(tmp_path)
    other, recorder = weights(tmp_path, **change)
    assert recorder.bars
    assert not same(first, other)


def test_frozen_layers_keep_what_they_start_with(tmp_path: Path) -> None:
    started = built(NETWORK, Streams(0), "target")
    start_(started, Streams(0), "target")
    begun = {name: parameter.detach().double().numpy() for name, parameter in started.named_parameters()}
    whole, part = weights(tmp_path)[0], weights(tmp_path, frozen=["fc1"])[0]
    assert np.array_equal(part["fc1.weight"], begun["fc1.weight"]) and np.abs(begun["fc1.weight"]).max() <= 1 / 6
    assert not np.array_equal(part["fc2.weight"], begun["fc2.weight"])
    assert not np.array_equal(whole["fc1.weight"], begun["fc1.weight"])
    assert target(tmp_path, frozen=["fc1"]).key(NETWORK, DATA, "cpu") != target(tmp_path).key(NETWORK, DATA, "cpu")
    with pytest.raises(ConfigError, match="frozen names fc3, which is no layer of the network"):
        weights(tmp_path, frozen=["fc3"])


def test_network_data_and_version_count_and_the_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = target(tmp_path).key(NETWORK, DATA, "cpu")
    assert target(tmp_path / "elsewhere").key(NETWORK, DATA, "cpu") == plain
    assert target(tmp_path).key(replace(NETWORK, biases=True), DATA, "cpu") != plain
    assert target(tmp_path).key(NETWORK, replace(DATA, train_inputs=DATA.train_inputs * 0.5), "cpu") != plain
    with monkeypatch.context() as patch:
        patch.setattr(trained, "arithmetic", lambda device: f"a {device} of another kind")
        assert target(tmp_path).key(NETWORK, DATA, "cpu") != plain
    monkeypatch.setattr(trained, "TRAINING_VERSION", trained.TRAINING_VERSION + 1)
    assert target(tmp_path).key(NETWORK, DATA, "cpu") != plain


def test_changed_code_of_somebody_elses_network_is_another_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "changing_lab.py").write_text(
        "import torch\n\n\n"
        "def net(width):\n    return torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    network = Imported(builder="changing_lab.net", arguments={"width": 3}, output=None, pool="none")
    first = target(tmp_path).key(network, DATA, "cpu")
    assert target(tmp_path).key(network, DATA, "cpu") == first
    (tmp_path / "changing_lab.py").write_text((tmp_path / "changing_lab.py").read_text().replace("ReLU", "Sigmoid"))
    monkeypatch.delitem(sys.modules, "changing_lab")
    linecache.checkcache()
    assert target(tmp_path).key(network, DATA, "cpu") != first


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_another_seed(path: Path) -> None:
    weights(path.parent / "other", seed=1)
    (other,) = (path.parent / "other").glob("*.safetensors")
    other.replace(path)


@pytest.mark.parametrize("damage", [flip_last_bit, halve, empty, of_another_seed])
def test_a_damaged_file_is_told_in_one_line_and_trained_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    first, _ = weights(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    damage(path)
    again, recorder = weights(tmp_path)
    assert same(first, again)
    assert [line for line in recorder.said if f"{path} is damaged" in line] == recorder.said[:1]
    _, third = weights(tmp_path)
    assert not third.bars, "the rebuilt file is whole"


def test_where_nothing_can_be_kept_it_is_trained_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    found, recorder = weights(tmp_path / "file" / "targets")
    assert same(found, weights(tmp_path / "good")[0])
    warnings = [line for line in recorder.said if line.startswith("warning: the trained target is not kept")]
    assert len(warnings) == 1


def test_of_two_runs_at_once_one_trains(tmp_path: Path) -> None:
    done: list[tuple[Weights, Memory]] = []
    runs = [threading.Thread(target=lambda: done.append(weights(tmp_path, epochs=20))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    (first, one), (second, other) = done
    assert same(first, second)
    assert sorted(len(recorder.bars) for recorder in (one, other)) == [0, 20]


def test_torchs_global_state_does_not_matter(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first, _ = weights(tmp_path / "a")
    torch.manual_seed(2)
    assert same(first, weights(tmp_path / "b")[0])


def test_without_a_dataset_it_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add data=mnist"):
        target(tmp_path).weights(NETWORK, None, Streams(0), "cpu", Memory())


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"epochs": 0}, {"learning_rate": float("nan")}, {"batch": 6.5}])
def test_impossible_settings_are_refused_when_built(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        target(tmp_path, **wrong)


class StoppedError(Exception):
    """Raised in the middle of a training."""


class Stopping(Memory):
    """Stops the run when the metrics of an epoch come."""

    def metrics(self, **values: float | int | str) -> None:
        super().metrics(**values)
        if values["target_epoch"] == 3:
            raise StoppedError


def test_a_stopped_training_goes_on(tmp_path: Path) -> None:
    whole, told = weights(tmp_path / "whole", epochs=4)
    with pytest.raises(StoppedError):
        target(tmp_path / "cut", epochs=4).weights(NETWORK, DATA, Streams(9), "cpu", Stopping())
    found, recorder = weights(tmp_path / "cut", epochs=4)
    assert same(found, whole)
    assert recorder.lines == told.lines
    assert [label for label, _, _ in recorder.bars] == ["epoch 3/4", "epoch 4/4"]
    assert recorder.said[0] == "training: going on after step 40, from a checkpoint"
    assert not list((tmp_path / "cut").glob("*.unfinished")), "the trained target takes its place"


def test_an_optimizer_that_does_not_fit_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="optimizer=Adam has no momentum: set momentum=0"):
        target(tmp_path, optimizer="Adam")
    adam = {"optimizer": "Adam", "momentum": 0.0, "learning_rate": 0.01}
    found, _ = weights(tmp_path, **adam)
    assert accuracy(filled(NETWORK, found), DATA.test_inputs, DATA.test_labels, 100) > 0.9
