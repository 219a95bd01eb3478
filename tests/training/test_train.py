"""The trainer of weights against a plain loop written out; masks, branches, hooks; killed anywhere, the same bits."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from recorders import Memory
from torch import nn
from torch.nn.functional import cross_entropy
from training.trainings import IMAGES, OPTIMIZERS, RECIPE, SMALL, recipe_of, rich, same, started, trained

from lth_runner.core.errors import ConfigError
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.training.loop import LOOK_EVERY
from lth_runner.training.recipe import Recipe
from lth_runner.training.train import train
from lth_runner.training.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")


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
