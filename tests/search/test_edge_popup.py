"""Edge-popup: the ticket is what was trained, and a training that is cut off goes on to the very same masks."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import DATA, PLAIN, REDUNDANT, Cut, bits, problem
from sweep.sweeping import lth_run_here, start, summaries

from lth_runner.core.checkpoint import load
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.measure.ticket import measure_ticket
from lth_runner.search import score_search
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn
from lth_runner.ticket.ticket import Ticket

pytestmark = pytest.mark.usefixtures("one_numba_thread")
METHOD = EdgePopup(
    frozen=[], biases="zero",
    density=0.3, scope="layer", epochs=4, batch=32, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, validation=100,
    distribution=KaimingNormal(gain=2**0.5, density=1.0), scores=KaimingUniform(gain=3**-0.5, density=1.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ticket, Memory, Path]:
    """The ticket of `METHOD` found in one go, what was recorded, and where the last checkpoint lies."""
    recorder = Memory(tmp_path_factory.mktemp("whole"))
    ticket = METHOD.find(problem(), recorder).ticket
    (path,) = recorder.checkpoint("any").parent.iterdir()
    return ticket, recorder, path


@pytest.mark.parametrize("network", [PLAIN, REDUNDANT])
def test_a_ticket_redraws_the_network_whose_scores_were_trained(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte: the weights after training are those of the recipe, the pruned ones those of the ticket."""
    trainings: list[ScoreTraining] = []

    def remembered(*arguments: Any, binary: bool) -> ScoreTraining:
        trainings.append(ScoreTraining(*arguments, binary=binary))
        return trainings[-1]

    monkeypatch.setattr(score_search, "ScoreTraining", remembered)
    ticket = METHOD.find(problem(network=network), Memory(tmp_path)).ticket
    (training,) = trainings
    pruned, masks = materialise(ticket).module().state_dict(), training.masks()
    assert list(pruned) == list(training.network.columns)
    for name, mask in masks.items():
        weight = training.network.module.get_parameter(name)
        redrawn = ticket.weights[name]
        assert isinstance(redrawn, Drawn)
        assert redrawn.draw(ticket.seed).astype(np.float32).tobytes() == weight.numpy().tobytes()
        assert np.array_equal(ticket.masks[name].dense(), mask.numpy())
        assert pruned[name].numpy().tobytes() == torch.where(mask, weight, 0.0).numpy().tobytes()


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_exactly_as_many_weights_are_kept_as_asked_for(density: float, scope: str, tmp_path: Path) -> None:
    ticket = replace(METHOD, density=density, scope=scope, epochs=1).find(problem(), Memory(tmp_path)).ticket
    assert ticket.kept() == round(density * ticket.offered())
    if scope == "layer":
        assert all(mask.kept() == round(density * mask.size) for mask in ticket.masks.values())


def test_the_seed_alone_decides(whole: tuple[Ticket, Memory, Path], tmp_path: Path) -> None:
    torch.manual_seed(5)  # torch's global state must not matter
    assert bits(METHOD.find(problem(), Memory(tmp_path / "same")).ticket) == bits(whole[0])
    assert bits(METHOD.find(problem(seed=1), Memory(tmp_path / "other")).ticket) != bits(whole[0])


def test_the_accuracy_is_that_of_the_last_epoch(whole: tuple[Ticket, Memory, Path]) -> None:
    ticket, recorder, _ = whole
    assert [line["score_epoch"] for line in recorder.lines] == [1, 2, 3, 4]
    measured = measure_ticket(materialise(ticket), problem(), epsilon=0.01, outputs=False, approximates=False)
    assert measured["accuracy"] == recorder.lines[-1]["test_accuracy"]
    assert measured["accuracy"] > 0.25  # ten classes: guesses get as many of 100 right once in 10^5
    validation = [float(line["validation_accuracy"]) for line in recorder.lines]
    best = validation.index(max(validation))
    assert ticket.facts == {
        "density": 0.3,
        "validation_accuracy_last": validation[-1],
        "validation_accuracy_best": max(validation),
        "best_epoch": best + 1,
        "best_epoch_accuracy": recorder.lines[best]["test_accuracy"],
    }


def test_validation_images_are_not_trained_on(whole: tuple[Ticket, Memory, Path], tmp_path: Path) -> None:
    """Were one of them, the loss would be NaN."""
    held_out = Streams(0)("score_search", "validation").permutation(400)[:100]
    images = DATA.train_inputs.clone()
    images[held_out] = float("nan")
    ticket = METHOD.find(problem(data=replace(DATA, train_inputs=images)), Memory(tmp_path)).ticket
    assert bits(ticket) == bits(whole[0])
    assert ticket.facts["validation_accuracy_last"] < whole[0].facts["validation_accuracy_last"]


def test_without_validation_nothing_is_said_of_it(tmp_path: Path) -> None:
    recorder = Memory(tmp_path)
    ticket = replace(METHOD, validation=0, epochs=1).find(problem(), recorder).ticket
    assert ticket.facts == {"density": 0.3}
    assert "validation_accuracy" not in recorder.lines[0]


def test_a_second_attempt_goes_on(whole: tuple[Ticket, Memory, Path], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        METHOD.find(problem(), Cut(tmp_path, epoch=3))
    recorder = Memory(tmp_path)
    ticket = METHOD.find(problem(), recorder).ticket
    assert any("going on after epoch 2" in line for line in recorder.said)
    assert [label for label, _, _ in recorder.bars] == ["epoch 3/4", "epoch 4/4"]
    assert bits(ticket) == bits(whole[0])
    assert ticket.facts == whole[0].facts
    assert recorder.lines == whole[1].lines, "the metrics of finished epochs are told again"


def test_a_finished_training_is_not_repeated(whole: tuple[Ticket, Memory, Path]) -> None:
    recorder = Memory(whole[2].parent)
    assert bits(METHOD.find(problem(), recorder).ticket) == bits(whole[0])
    assert recorder.bars == []


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def swap(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: flip(path, -100), "not what was written"),
        (lambda path: swap(path, b"score_loss", b"score_lost"), "not what was written"),
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "SafetensorError"),
        (lambda path: path.write_bytes(b""), "SafetensorError"),
    ],
)
def test_a_damaged_checkpoint_is_ignored(
    whole: tuple[Ticket, Memory, Path], tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    copy = tmp_path / whole[2].name
    copy.write_bytes(whole[2].read_bytes())
    damage(copy)
    recorder = Memory(tmp_path)
    ticket = METHOD.find(problem(), recorder).ticket
    (line,) = recorder.said
    assert "is ignored and the training starts afresh" in line
    assert reason in line
    assert len(recorder.bars) == 4
    assert bits(ticket) == bits(whole[0])


def test_a_checkpoint_of_other_settings_is_ignored(whole: tuple[Ticket, Memory, Path], tmp_path: Path) -> None:
    said: list[str] = []
    assert load(whole[2], "another key", said.append) is None
    assert "other settings" in said[0]
    (tmp_path / whole[2].name).write_bytes(whole[2].read_bytes())
    for method, posed in [
        (replace(METHOD, momentum=0.8), problem()),
        (METHOD, problem(seed=1)),
        (METHOD, problem(data=replace(DATA, train_labels=DATA.train_labels.flip(0)))),
    ]:
        recorder = Memory(tmp_path)
        method.find(posed, recorder)
        assert len(recorder.bars) == 4


def test_a_loss_that_is_no_number_names_step_and_learning_rate(tmp_path: Path) -> None:
    images = DATA.train_inputs.clone()
    trained = Streams(0)("score_search", "validation").permutation(400)[100:]
    first_epoch = trained[Streams(0)("score_search", "order", "0").permutation(300)]
    images[first_epoch[2 * METHOD.batch]] = float("nan")
    with pytest.raises(ConfigError, match=r"the loss at step 2 \(from 0\) is nan with learning_rate=0.1"):
        METHOD.find(problem(data=replace(DATA, train_inputs=images)), Memory(tmp_path))
    assert list(tmp_path.iterdir()) == [], "no checkpoint holds scores that are no numbers"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "add data=mnist"),
        ({"network": None}, "add network=fc"),
    ],
)
def test_problems_it_cannot_take(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        METHOD.find(problem(**changes), Memory(tmp_path))


def test_validation_must_leave_something_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method\.validation=400 leaves nothing of 400 training images"):
        replace(METHOD, validation=400).find(problem(), Memory(tmp_path))


@pytest.mark.parametrize(
    "wrong", [{"density": 1.5}, {"scope": "rows"}, {"epochs": 0}, {"validation": -1}, {"learning_rate": 0.0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(METHOD, **wrong)


RUN = [
    "method=edge_popup", "~target", "data=synthetic", "data.train_count=1000", "network=redundant_fc",
    "network.inputs=64", "network.hidden=50", "method.epochs=40", "method.validation=200", "wandb.mode=disabled",
    "device=cpu",
]  # fmt: skip


def killed(folder: Path) -> None:
    """Starts the command and kills it as soon as it has written its second checkpoint."""
    process = start(folder, *RUN)
    seen: set[int] = set()
    while len(seen) < 2:
        assert process.poll() is None, f"it ended before it was killed: {process.communicate()[0]}"
        seen |= {path.stat().st_mtime_ns for path in folder.glob("runs/*/checkpoints/*.safetensors")}
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_twice_it_comes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    once, disturbed = tmp_path / "once", tmp_path / "disturbed"
    for folder in (once, disturbed):
        folder.mkdir()
    assert lth_run_here(monkeypatch, once, *RUN) is None
    killed(disturbed)
    killed(disturbed)
    assert [summary["status"] for summary in summaries(disturbed / "runs").values()] == ["running"]
    capsys.readouterr()
    assert lth_run_here(monkeypatch, disturbed, *RUN) is None
    assert "going on after epoch" in capsys.readouterr().out
    assert summaries(disturbed / "runs") == summaries(once / "runs")
    for name in ("ticket.safetensors", "metrics.jsonl"):
        one, other = (next(folder.glob(f"runs/*/{name}")).read_bytes() for folder in (once, disturbed))
        assert one == other
    assert len(one.splitlines()) == 40
    assert json.loads(one.splitlines()[-1])["score_epoch"] == 40
    assert list(disturbed.rglob("checkpoints")) == [], "a run that ended well needs none"
