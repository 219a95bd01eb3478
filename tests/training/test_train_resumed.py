"""Trainings in parts, stopped or killed anywhere, end with the bits of one that was not."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recorders import Memory
from torch.nn.functional import cross_entropy
from training.trainings import IMAGES, OPTIMIZERS, RECIPE, noisy, recipe_of, rich, same, started, trained

from lth_runner.core.errors import ConfigError
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.training.state import State
from lth_runner.training.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["0it", "7it", "2ep", "14it"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_in_parts_it_is_the_same_as_in_one_go(name: str, stop: str) -> None:
    recipe = recipe_of(name)
    whole = trained(recipe, module=started(biases=False))
    part = trained(recipe, module=started(biases=False), stop=Step.parse("stop", stop))
    assert part.step == Step.parse("stop", stop).steps(5)
    assert same(trained(recipe, module=started(1, biases=False), start=part), whole)


def test_in_parts_with_buffers_chance_augmentation_and_a_schedule() -> None:
    recipe = replace(RECIPE, schedule="ExponentialLR", schedule_arguments={"gamma": 0.9}, schedule_unit="step")
    whole = trained(recipe, module=rich(), augment=noisy)
    part = trained(recipe, module=rich(), augment=noisy, stop=Step.parse("stop", "1ep3it"))
    assert same(trained(recipe, module=rich(), augment=noisy, start=part), whole)
    assert not same(trained(recipe, module=rich()), whole)


def test_a_rewound_branch_forgets_what_the_optimizer_knew() -> None:
    """Weights of step 5, no velocity: the plain formula of a first step of SGD."""
    at_five = trained(stop=Step.parse("stop", 5))
    branch = trained(start=replace(at_five, optimizer={}), stop=Step.parse("stop", 6))
    module = started()
    module.load_state_dict(at_five.parameters)
    batch = torch.from_numpy(Streams(0)("test", "order", "1").permutation(230))[:50]
    cross_entropy(module(IMAGES[0][batch]), IMAGES[1][batch]).backward()
    rate = RECIPE.rates(5)(5)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        step = rate * (parameter.grad + RECIPE.weight_decay * parameter)
        torch.testing.assert_close(branch.parameters[name], (parameter - step).detach(), rtol=1e-6, atol=1e-7)


def test_a_state_of_another_network_and_a_stop_too_late_are_refused() -> None:
    with pytest.raises(ConfigError, match="the state of another network"):
        trained(start=trained(module=started(biases=False)))
    with pytest.raises(ConfigError, match="a training of 3ep cannot stop at 16it"):
        trained(stop=Step.parse("stop", 16))


class StoppedError(Exception):
    """Raised in the middle of a training."""


def evaluate(step: int, training: Training) -> None:
    if step % 3 == 0 or step % 5 == 0:
        training.record(step=step, loss=training.loss() if step else 0.0)


@pytest.mark.parametrize("at", [1, 5, 8, 10, 14, 15])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(tmp_path: Path, at: int) -> None:
    def stop(step: int, training: Training) -> None:
        if step == at:
            raise StoppedError

    def attempt(recorder: Memory, *hooks: Any) -> State:
        path = tmp_path / "training.safetensors"
        options: dict[str, Any] = {"recorder": recorder, "augment": noisy, "checkpoint": path}
        return trained(module=rich(), on_step=[evaluate, *hooks], **options)

    whole_recorder, recorder = Memory(), Memory()
    whole = trained(module=rich(), recorder=whole_recorder, augment=noisy, on_step=[evaluate])
    with pytest.raises(StoppedError):
        attempt(Memory(), stop)
    found = attempt(recorder)
    assert same(found, whole)
    assert found.history == whole.history == recorder.lines == whole_recorder.lines
    again = Memory()
    assert same(attempt(again), whole)
    assert not again.bars, "it is finished, so nothing is trained again"
    assert again.lines == recorder.lines


def test_a_checkpoint_of_another_training_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    masks = {"fc1.bias": torch.zeros(20, dtype=torch.bool)}  # biases begin at 0, so that the start is the same
    trained(checkpoint=path)
    start = trained(stop=Step.parse("stop", 2))
    changes: list[dict[str, Any]] = [{"masks": masks}, {"augment": noisy}, {"seed": 1}, {"start": start}]
    for change in changes:
        recorder = Memory()
        assert same(trained(recorder=recorder, checkpoint=path, **change), trained(**change))
        assert "belongs to a training with other settings" in recorder.said[0]
    recorder = Memory()
    trained(replace(RECIPE, length="2ep"), recorder=recorder, checkpoint=path)
    assert "is ignored and the training starts afresh" in recorder.said[0]


def test_where_no_checkpoint_can_be_written_it_trains_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    recorder = Memory()
    assert same(trained(recorder=recorder, checkpoint=tmp_path / "file" / "training"), trained())
    assert len(recorder.said) == 1
    assert recorder.said[0].startswith("warning: this training cannot be taken up")


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from training.trainings import rich, trained
    import torch
    torch.set_num_threads(1)
    def kill(step, training):
        if step == 8:
            os.kill(os.getpid(), signal.SIGKILL)
    trained(module=rich(), on_step=[kill], checkpoint=Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    path, tests = tmp_path / "training.safetensors", Path(__file__).parents[1]
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tests), str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    recorder = Memory()
    assert same(trained(module=rich(), recorder=recorder, checkpoint=path), trained(module=rich()))
    assert recorder.said == ["training: going on after step 5, from a checkpoint"]
