"""The trainer of weights against a plain loop written out; masks, branches, hooks; killed anywhere, the same bits."""

import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_recipe import PLAIN
from recorders import Memory
from torch import nn
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.data.interface import images as images_of
from lth_runner.data.interface import labels as labels_of
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.training.loop import LOOK_EVERY
from lth_runner.training.recipe import Recipe
from lth_runner.training.start import start_
from lth_runner.training.state import State
from lth_runner.training.train import train
from lth_runner.training.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = Synthetic(train_count=230, test_count=50, side=6, classes=10, seed=0, noise=0.1).load(lambda line: None)
IMAGES = (images_of(DATA.train_inputs), labels_of(DATA.train_labels))
RECIPE = Recipe(length="3ep", batch=50, learning_rate=0.1, momentum=0.9, weight_decay=0.01, **PLAIN)  # 5 steps an epoch
SMALL = {"learning_rate": 0.01, "momentum": 0.0}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SGD nesterov": {"optimizer_arguments": {"nesterov": True}},
    "RMSprop": {"learning_rate": 0.001, "optimizer_arguments": {"centered": True}},
    "Adam": SMALL | {"optimizer_arguments": {"amsgrad": True}},
    "AdamW": SMALL,
    "NAdam": SMALL,
    "RAdam": SMALL,
    "Adamax": SMALL,
    "Adagrad": SMALL,
    "Adadelta": SMALL,
    "Adafactor": SMALL,
    "ASGD": SMALL,
    "Rprop": SMALL | {"weight_decay": 0.0},
    "Muon": {"learning_rate": 0.01},
}


def recipe_of(name: str) -> Recipe:
    return replace(RECIPE, optimizer=name.split()[0], **OPTIMIZERS[name])


def started(seed: int = 0, biases: bool = True) -> nn.Module:
    module = FullyConnected(inputs=36, hidden=20, outputs=10, depth=2, biases=biases).module()
    start_(module, Streams(seed), "test")
    return module


def rich() -> nn.Module:
    """Buffers, chance in the forward pass, and one weight in two places."""
    torch.manual_seed(5)
    square = nn.Linear(12, 12)
    again = nn.Linear(12, 12)
    again.weight = square.weight
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), square,
        nn.ReLU(), again, nn.ReLU(), nn.Linear(12, 10),
    )  # fmt: skip


def noisy(images: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    return images + torch.from_numpy(generator.normal(0, 0.1, images.shape)).to(images.dtype)


def trained(recipe: Recipe = RECIPE, seed: int = 0, module: nn.Module | None = None, **options: Any) -> State:
    module = started(seed) if module is None else module
    return train(module, IMAGES, recipe, Streams(seed), "test", options.pop("recorder", Memory()), **options)


def same(one: State, other: State) -> bool:
    parts = [(s.parameters, s.buffers, s.optimizer) for s in (one, other)]
    return one.step == other.step and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(*parts, strict=True)
    )


def plain_loop(module: nn.Module, recipe: Recipe, epochs: int) -> None:
    """SGD as targets were trained before there was a trainer."""
    images, labels = IMAGES
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    module.train()
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
        order = torch.from_numpy(Streams(0)("test", "order", str(epoch)).permutation(len(images)))
        for batch in order.split(recipe.batch):
            optimizer.zero_grad()
            cross_entropy(module(images[batch]), labels[batch]).backward()
            optimizer.step()


@pytest.mark.parametrize("batch", [50, 7])
def test_the_defaults_give_the_bits_of_a_plain_loop(batch: int) -> None:
    recipe, module = replace(RECIPE, batch=batch, momentum=0.9, weight_decay=5e-4), started()
    found = trained(recipe, module=module)
    expected = started()
    plain_loop(expected, recipe, 3)
    for name, parameter in expected.named_parameters():
        assert torch.equal(found.parameters[name], parameter)
        assert torch.equal(module.state_dict()[name], parameter)


def test_it_is_sgd_with_momentum_decay_and_a_cosine_by_epoch() -> None:
    """In float64 against the formulas, so that agreement to 1e-12 leaves no room for another rule."""
    images, labels = IMAGES[0].double(), IMAGES[1]
    module, plain = started().double(), started().double()
    train(module, (images, labels), RECIPE, Streams(0), "test", Memory())
    velocity = [torch.zeros_like(parameter) for parameter in plain.parameters()]
    for epoch in range(3):
        rate = RECIPE.learning_rate * (1 + math.cos(math.pi * epoch / 3)) / 2
        order = Streams(0)("test", "order", str(epoch)).permutation(len(images))
        for start in range(0, len(images), RECIPE.batch):
            batch = torch.from_numpy(order[start : start + RECIPE.batch])
            parameters = list(plain.parameters())
            gradients = torch.autograd.grad(cross_entropy(plain(images[batch]), labels[batch]), parameters)
            with torch.no_grad():
                for parameter, gradient, v in zip(parameters, gradients, velocity, strict=True):
                    v.mul_(RECIPE.momentum).add_(gradient + RECIPE.weight_decay * parameter)
                    parameter.sub_(rate * v)
    for found, expected in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_torchs_global_state_has_no_say_and_stays() -> None:
    """Dropout draws from it."""
    modules = [rich() for _ in range(3)]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = trained(module=modules[0])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(first, trained(module=modules[1]))
    assert not same(first, trained(module=modules[2], seed=1))


def test_fixed_parameters_stay_and_a_network_of_them_is_refused() -> None:
    module = started()
    fixed = dict(module.named_parameters())["fc1.weight"].requires_grad_(False)
    before = fixed.clone()
    trained(module=module)
    assert torch.equal(fixed, before)
    with pytest.raises(ConfigError, match="nothing to train"):
        trained(module=started().requires_grad_(False))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_are_exactly_0_after_every_step_and_survivors_move(name: str) -> None:
    """Also where training begins from a state whose optimizer remembers weights that are pruned now."""
    module = started(biases=False)
    before = trained(recipe_of(name), module=module, stop=Step.parse("stop", 7))
    draws = torch.Generator().manual_seed(0)
    masks = {key: torch.rand(value.shape, generator=draws) < 0.4 for key, value in before.parameters.items()}
    zeros: list[bool] = []

    def look(step: int, training: Training) -> None:
        for key, parameter in training.module.named_parameters():
            zeros.append(not parameter[~masks[key]].any())

    after = trained(recipe_of(name), module=module, start=before, masks=masks, on_step=[look])
    assert zeros == [True] * 2 * (15 - 7 + 1)
    for key, mask in masks.items():
        assert not after.parameters[key][~mask].any()
        moved = after.parameters[key] != before.parameters[key]
        assert moved[mask].float().mean() > 0.9  # a pixel that is always 0 has no gradient


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_masked_steps_are_those_of_a_plain_loop(name: str) -> None:
    """Gradients multiplied by masks, torch's optimizer as it comes; the bias too is masked: no fast path knows that."""
    recipe, module, expected = replace(RECIPE, schedule="constant", **SMALL, optimizer=name), started(), started()
    draws = torch.Generator().manual_seed(0)
    masks = {key: torch.rand(p.shape, generator=draws) < 0.4 for key, p in module.named_parameters()}
    optimizer = getattr(torch.optim, name)(expected.parameters(), lr=0.01, weight_decay=recipe.weight_decay)
    with torch.no_grad():
        for key, parameter in expected.named_parameters():
            parameter.mul_(masks[key])
    for epoch in range(3):
        for batch in torch.from_numpy(Streams(0)("test", "order", str(epoch)).permutation(230)).split(50):
            optimizer.zero_grad()
            cross_entropy(expected(IMAGES[0][batch]), IMAGES[1][batch]).backward()
            for key, parameter in expected.named_parameters():
                assert parameter.grad is not None
                parameter.grad.mul_(masks[key])
            optimizer.step()
    found = trained(recipe, module=module, masks=masks)
    for key, parameter in expected.named_parameters():
        torch.testing.assert_close(found.parameters[key], parameter.detach(), rtol=1e-4, atol=1e-5)
        assert not torch.signbit(found.parameters[key][~masks[key]]).any(), "0, not -0"


def test_a_mask_of_rows_prunes_neurons() -> None:
    rows = torch.arange(20) % 2 == 0
    found = trained(masks={"fc1.weight": rows[:, None], "fc1.bias": rows})
    assert not found.parameters["fc1.weight"][1::2].any()
    assert not found.parameters["fc1.bias"][1::2].any()
    assert found.parameters["fc1.weight"][::2].any(dim=1).all()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"fc9.weight": torch.ones(1, dtype=torch.bool)}, "fc9.weight, which is no parameter"),
        ({"fc1.weight": torch.ones(20, 36)}, "must be of bools, got torch.float32"),
        ({"fc1.weight": torch.ones(36, 20, dtype=torch.bool)}, r"does not fit its shape \(20, 36\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(masks=masks)


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


def test_hooks_see_every_step_and_what_they_record_is_kept() -> None:
    seen: list[tuple[int, int]] = []
    recorder = Memory()

    def hook(step: int, training: Training) -> None:
        state = training.state()
        seen.append((step, state.step))
        if step in (0, 6):
            training.record(at=step, size=float(state.parameters["fc1.weight"].abs().sum()))

    found = trained(recorder=recorder, on_step=[hook], stop=Step.parse("stop", "8it"))
    assert seen == [(step, step) for step in range(9)]
    assert found.history == recorder.lines
    assert [line["at"] for line in found.history] == [0, 6]


def test_the_loss_is_the_mean_of_the_epoch_so_far() -> None:
    losses: list[float] = []
    trained(replace(RECIPE, length="1ep", batch=1000), on_step=[lambda step, training: losses.append(training.loss())])
    expected = cross_entropy(started()(IMAGES[0]), IMAGES[1]).item()
    assert math.isnan(losses[0])
    assert losses[1] == pytest.approx(expected, rel=1e-6)


def test_a_bar_per_epoch_runs_to_its_end() -> None:
    recipe, recorder = replace(RECIPE, batch=2), Memory()  # 115 steps: the loss is looked at in the middle too
    trained(recipe, recorder=recorder)
    assert recipe.batch * LOOK_EVERY < 230
    assert [(label, total, bar.done) for label, total, bar in recorder.bars] == [
        (f"epoch {epoch}/3", 115, 115) for epoch in (1, 2, 3)
    ]


def test_divergence_is_told_apart_from_a_result() -> None:
    with pytest.raises(ConfigError, match=r"training diverged.*learning_rate=1000000.0; set a smaller one"):
        trained(replace(RECIPE, learning_rate=1e6))


def test_a_loss_may_do_without_labels() -> None:
    """Outputs are drawn to 1, by a loss that sees module and inputs."""

    def to_one(module: nn.Module, inputs: Any, labels: torch.Tensor | None) -> torch.Tensor:
        assert labels is None
        return (module(inputs) - 1).square().mean()

    module = started()
    first = to_one(module, IMAGES[0], None).item()
    train(module, (IMAGES[0], None), RECIPE, Streams(0), "test", Memory(), loss=to_one)
    assert to_one(module, IMAGES[0], None).item() < first / 2
    with pytest.raises(ConfigError, match="needs labels"):
        train(module, (IMAGES[0], None), RECIPE, Streams(0), "test", Memory())


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
    from training.test_train import RECIPE, rich, trained
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
