"""Steps on kept weights against dense ones, step by step; what hooks see; exact resumes; what takes the plain path."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recorders import Memory
from torch import nn
from training.sparse_trainings import RECIPE, RECIPES, batches, drawn, is_sparse, plainly, started, training
from training.trainings import IMAGES, same

from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.data.interface import images as images_of
from lth_runner.training.fast_cpu import sparse
from lth_runner.training.fast_cpu.kernels import LANES
from lth_runner.training.loss import classification
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import State, load_state, save_state
from lth_runner.training.train import train
from lth_runner.training.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")


def dead() -> dict[str, torch.Tensor]:
    """A hidden neuron without sources, one that nobody uses, one without either, and a pixel that nobody uses."""
    masks = drawn(0.3, 0.3, 0.5)
    masks["fc1.weight"][[3, 5]] = False
    masks["fc2.weight"][:, [4, 5]] = False
    masks["fc1.weight"][:, 20] = False
    return masks


MASKS: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    "5 %": lambda: drawn(0.05, 0.05, 0.2),
    "30 %": lambda: drawn(0.3, 0.3, 0.6),
    "one dense layer": lambda: {"fc1.weight": drawn(0.2, 1, 1)["fc1.weight"]},
    "all": lambda: drawn(1, 1, 1),
    "an empty layer": lambda: drawn(0.3, 0, 0.3),
    "no first layer": lambda: drawn(0, 0.3, 0.3),
    "dead neurons": dead,
}


def trained(recipe: Recipe, masks: dict[str, torch.Tensor], **options: Any) -> State:
    recorder = options.pop("recorder", Memory())
    return train(started(), IMAGES, recipe, Streams(0), "test", recorder, masks=masks, **options)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path also where it does not pay."""
    monkeypatch.setattr(sparse, "pays", lambda masks, batch: True)


def close(found: State, expected: State) -> bool:
    return all(
        one.keys() == other.keys() and all(torch.allclose(one[key], other[key], rtol=1e-3, atol=1e-5) for key in one)
        for one, other in ((found.parameters, expected.parameters), (found.optimizer, expected.optimizer))
    )


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("name", RECIPES)
def test_steps_are_the_dense_ones_up_to_the_order_of_sums(name: str, masks: str) -> None:
    """60 steps side by side: losses, weights and all that the optimizer remembers; every fifth batch has 30 images."""
    recipe = replace(RECIPE, **RECIPES[name])
    pair = [training(recipe, MASKS[masks](), loss=loss) for loss in (classification, plainly)]
    assert [is_sparse(one) for one in pair] == [True, False]
    side_by_side(recipe, *pair)


def side_by_side(recipe: Recipe, found: Training, expected: Training) -> None:
    for epoch in range(12):
        for i, inputs, labels in batches(recipe).epoch(epoch, range(found.steps_per_epoch)):
            step = epoch * found.steps_per_epoch + i
            losses = [one.update(inputs, labels, step) for one in (found, expected)]
            torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
            assert close(found.state(), expected.state()), step


@pytest.mark.parametrize("batch", [LANES, LANES + 1, 150, 7])
def test_any_number_of_samples_fills_the_lanes(batch: int) -> None:
    recipe = replace(RECIPE, batch=batch, momentum=0.9, learning_rate=0.02)
    pair = [training(recipe, drawn(0.05, 0.05, 0.2), loss=loss) for loss in (classification, plainly)]
    assert is_sparse(pair[0])
    side_by_side(recipe, *pair)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", ["SGD nesterov", "AdamW"])
def test_it_needs_no_biases(name: str) -> None:
    recipe = replace(RECIPE, **RECIPES[name])
    pair = [training(recipe, dead(), started(biases=False), loss=loss) for loss in (classification, plainly)]
    assert is_sparse(pair[0])
    side_by_side(recipe, *pair)


def test_adam_is_torchs_with_torchs_own_epsilon() -> None:
    """Each step from the same state; where the gradient is more than rounding, the weights move alike."""
    recipe = replace(RECIPE, learning_rate=0.003, optimizer="Adam")
    found, expected = (training(recipe, drawn(0.3, 0.3, 0.6), loss=loss) for loss in (classification, plainly))
    compared = 0
    for step in range(60):
        for _, inputs, labels in batches(recipe).epoch(step // 5, range(step % 5, step % 5 + 1)):
            for one in (found, expected):
                one.update(inputs, labels, step)
        one, other = found.state(), expected.state()
        for name, weights in one.parameters.items():
            for entry, scale in (("exp_avg", 1e-6), ("exp_avg_sq", 1e-8)):
                key = f"{entry}/{name}"
                torch.testing.assert_close(one.optimizer[key], other.optimizer[key], rtol=1e-4, atol=scale)
            clear = other.optimizer[f"exp_avg_sq/{name}"].sqrt() > 1e-4
            torch.testing.assert_close(weights[clear], other.parameters[name][clear], rtol=1e-5, atol=1e-6)
            compared += int(clear.sum())
        found.take_up(other)
    assert compared > 60 * 200


@pytest.mark.parametrize("name", RECIPES)
def test_pruned_weights_are_exactly_0_after_every_step_and_survivors_move(name: str) -> None:
    """Also where training begins from a state whose optimizer remembers weights that are pruned now."""
    recipe, masks = replace(RECIPE, **RECIPES[name]), drawn(0.3, 0.3, 0.6)
    before = trained(recipe, {}, stop=Step.parse("stop", 7))
    looks: list[bool] = []
    plain = trained(recipe, masks, start=before, loss=plainly)

    def look(step: int, found: Training) -> None:
        assert is_sparse(found)
        looks.extend(not bool(parameter[~masks[key]].any()) for key, parameter in weights_of(found.module))

    after = trained(recipe, masks, start=before, on_step=[look])
    assert looks == [True] * 3 * (60 - 7 + 1)
    for key, mask in masks.items():
        moved, expected = (state.parameters[key] != before.parameters[key] for state in (after, plain))
        assert torch.equal(moved, expected)
        assert moved[mask].float().mean() > 0.5  # a pixel that is always 0 has no gradient, nor has a dead neuron
        remembered = [tensor for place, tensor in after.optimizer.items() if place.endswith(f"/{key}") and tensor.ndim]
        assert not any(tensor[~mask].any() for tensor in remembered)


def weights_of(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(key, parameter) for key, parameter in module.named_parameters() if parameter.ndim == 2]


@pytest.mark.parametrize("count", [1, LANES, LANES + 1, 230])
def test_outputs_are_the_modules(count: int) -> None:
    found = training(RECIPE, drawn(0.3, 0.3, 0.6))
    for _, inputs, labels in batches(RECIPE).epoch(0, range(5)):
        found.update(inputs, labels, 0)
    inputs, module = images_of(IMAGES[0])[:count], found.module
    with torch.no_grad():
        torch.testing.assert_close(found.outputs(inputs), module(inputs), rtol=1e-5, atol=1e-5)
        assert torch.equal(found.outputs(inputs)[:1], found.outputs(inputs[:1]))
    assert module.training


def test_outputs_of_a_dense_training_are_those_in_evaluation_mode() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 10))
    found = training(RECIPE, {}, module)
    outputs = found.outputs(IMAGES[0])
    assert module.training
    assert not outputs.requires_grad
    assert torch.equal(outputs, module.eval()(IMAGES[0]))


def test_hooks_see_the_weights_and_what_they_change_counts() -> None:
    """In the module that they were given or in their own reference to it, after any step."""
    recipe, masks = replace(RECIPE, **RECIPES["SGD momentum"]), drawn(0.3, 0.3, 0.6)
    pair = [training(recipe, masks, loss=loss) for loss in (classification, plainly)]
    inputs, labels = IMAGES[0][:50], IMAGES[1][:50]
    for step in range(5):
        for one in pair:
            one.update(inputs, labels, step)
            state = one.state()
            assert all(torch.equal(p, state.parameters[name]) for name, p in one.module.named_parameters())
            with torch.no_grad():
                for parameter in one.module.parameters():
                    parameter.mul_(0.9)
        torch.testing.assert_close(pair[0].module.state_dict(), pair[1].module.state_dict(), rtol=1e-4, atol=1e-6)
        pair[0].outputs(inputs)
    with torch.no_grad():
        pair[0].module.get_parameter("fc1.weight").fill_(1)
    pair[0].update(inputs, labels, 5)
    assert not pair[0].module.get_parameter("fc1.weight")[~masks["fc1.weight"]].any()


def test_the_bits_are_the_same_on_any_number_of_threads() -> None:
    recipe, states = replace(RECIPE, **RECIPES["AdamW"], batch=150), []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)  # the fixture puts it back
        states.append(trained(recipe, drawn(0.2, 0.2, 0.5)))
    assert same(states[0], states[1])
    assert same(states[0], states[2])


@pytest.mark.parametrize("name", ["SGD momentum, decay", "Adam decay"])
@pytest.mark.parametrize("stop", ["0it", "7it", "2ep"])
def test_a_state_from_a_file_goes_on_to_the_same_bits(tmp_path: Path, name: str, stop: str) -> None:
    recipe, masks = replace(RECIPE, **RECIPES[name]), dead()
    whole = trained(recipe, masks)
    path = tmp_path / "state.safetensors"
    save_state(path, "key", trained(recipe, masks, stop=Step.parse("stop", stop)))
    assert same(trained(recipe, masks, start=load_state(path, "key", pytest.fail)), whole)


class StoppedError(Exception):
    """Raised in the middle of a training."""


@pytest.mark.parametrize("at", [1, 8, 10, 59, 60])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(tmp_path: Path, at: int) -> None:
    def stop(step: int, found: Training) -> None:
        assert is_sparse(found)
        if step == at:
            raise StoppedError

    recipe, masks, path = replace(RECIPE, **RECIPES["Adam"]), drawn(0.1, 0.1, 0.3), tmp_path / "training.safetensors"
    with pytest.raises(StoppedError):
        trained(recipe, masks, on_step=[stop], checkpoint=path)
    recorder = Memory()
    assert same(trained(recipe, masks, checkpoint=path, recorder=recorder), trained(recipe, masks))
    assert len(recorder.said) == (at > 5)


def test_a_checkpoint_of_dense_steps_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their roundings differ."""
    masks, path = drawn(0.1, 0.1, 0.3), tmp_path / "training.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(sparse, "pays", lambda masks, batch: False)
        trained(RECIPE, masks, checkpoint=path)
    recorder = Memory()
    assert same(trained(RECIPE, masks, checkpoint=path, recorder=recorder), trained(RECIPE, masks))
    assert "belongs to a training with other settings" in recorder.said[0]


def test_a_rewound_start_has_an_optimizer_without_a_past() -> None:
    """And one whose optimizer knows some tensors alone counts the steps of each."""
    recipe, masks = replace(RECIPE, **RECIPES["Adam"]), drawn(0.3, 0.3, 0.6)
    state = trained(recipe, {}, stop=Step.parse("stop", 5))
    some = {key: tensor for key, tensor in state.optimizer.items() if "fc1" in key}
    for memory in ({}, some):
        pair = [
            training(recipe, masks, start=replace(state, optimizer=memory), loss=loss)
            for loss in (classification, plainly)
        ]
        side_by_side(recipe, *pair)
