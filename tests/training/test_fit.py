"""The training loop against a plain one written out, and its promises: same seed same bits, divergence is named."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.training.fit import Hook, Recipe, run_epochs
from lth_runner.training.loop import LOOK_EVERY
from lth_runner.training.start import start_

pytestmark = pytest.mark.usefixtures("one_thread")

DATA: Any = Synthetic(train_count=230, test_count=50, side=6, classes=10, seed=0, noise=0.1).load(lambda line: None)
RECIPE = Recipe(epochs=3, batch=50, learning_rate=0.1, momentum=0.9, weight_decay=0.01)  # the last batch has 30


def fit(
    module: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    streams: Streams,
    purpose: str,
    recorder: Memory,
    on_epoch: Sequence[Hook] = (),
) -> None:
    """SGD on the cross-entropy, as a step of one's own."""
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )

    def step(images: torch.Tensor, labels: torch.Tensor, rate: float) -> torch.Tensor:
        optimizer.param_groups[0]["lr"] = rate
        loss = cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run_epochs(step, images, labels, recipe, streams, purpose, recorder, on_epoch)


def started(seed: int = 0) -> torch.nn.Module:
    module = FullyConnected(inputs=36, hidden=20, outputs=10, depth=2, biases=True).module()
    start_(module, Streams(seed), "test")
    return module


def trained(recipe: Recipe = RECIPE, seed: int = 0, hooks: tuple[Hook, ...] = ()) -> tuple[torch.nn.Module, Memory]:
    module, recorder = started(seed), Memory()
    fit(module, DATA.train_inputs, DATA.train_labels, recipe, Streams(seed), "test", recorder, hooks)
    return module, recorder


def test_it_is_sgd_with_momentum_decay_and_a_cosine_by_epoch() -> None:
    """In float64 against the formulas, so that agreement to 1e-12 leaves no room for another rule."""
    images, labels = DATA.train_inputs.double(), DATA.train_labels
    module, plain = started().double(), started().double()
    fit(module, images, labels, RECIPE, Streams(0), "test", Memory())
    velocity = [torch.zeros_like(parameter) for parameter in plain.parameters()]
    for epoch in range(RECIPE.epochs):
        rate = RECIPE.learning_rate * (1 + math.cos(math.pi * epoch / RECIPE.epochs)) / 2
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


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    torch.manual_seed(1)  # torch's global state must not matter
    first = trained()[0].state_dict()
    torch.manual_seed(2)
    second = trained()[0].state_dict()
    other = trained(seed=1)[0].state_dict()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        assert not torch.equal(tensor, other[name])


def test_a_training_can_begin_after_any_epoch() -> None:
    """The batches and rates of the epochs that are left are those of a whole training."""
    images = torch.arange(230.0)[:, None]
    seen: list[list[tuple[list[float], float]]] = [[], []]
    for finished, calls in enumerate(seen):

        def step(batch: torch.Tensor, labels: torch.Tensor, rate: float, calls: Any = calls) -> torch.Tensor:
            calls.append((batch[:, 0].tolist(), rate))
            return torch.zeros(())

        run_epochs(step, images, DATA.train_labels, RECIPE, Streams(0), "test", Memory(), (), finished)
    assert [len(calls) for calls in seen] == [15, 10]
    assert seen[0][5:] == seen[1]


def test_frozen_parameters_stay() -> None:
    module = started()
    frozen = dict(module.named_parameters())["fc1.weight"].requires_grad_(False)
    before = frozen.clone()
    fit(module, DATA.train_inputs, DATA.train_labels, RECIPE, Streams(0), "test", Memory())
    assert torch.equal(frozen, before)


def test_a_bar_per_epoch_runs_to_its_end() -> None:
    recipe = replace(RECIPE, batch=2)  # 115 steps, so that the loss is looked at in the middle too
    _, recorder = trained(recipe)
    assert recipe.batch * LOOK_EVERY < 230
    assert [(label, total, bar.done) for label, total, bar in recorder.bars] == [
        (f"epoch {epoch}/3", 115, 115) for epoch in (1, 2, 3)
    ]


def test_hooks_are_told_the_epoch_and_the_mean_loss() -> None:
    told: list[tuple[int, float]] = []

    def hook(epoch: int, loss: float) -> str:
        told.append((epoch, loss))
        return ""

    whole_batch = replace(RECIPE, epochs=1, batch=1000)
    trained(whole_batch, hooks=(hook,))
    expected = cross_entropy(started()(DATA.train_inputs), DATA.train_labels).item()
    assert told == [(1, pytest.approx(expected, rel=1e-6))]
    told.clear()
    trained(hooks=(hook,))
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert told[2][1] < told[0][1]


def test_divergence_names_the_step_and_the_learning_rate() -> None:
    images = DATA.train_inputs.clone()
    order = Streams(0)("test", "order", "1").permutation(len(images))
    module = started()

    def poison(epoch: int, loss: float) -> str:
        if epoch == 1:
            images[order[RECIPE.batch]] = float("nan")  # in the second batch of the second epoch
        return ""

    with pytest.raises(ConfigError, match=r"the loss at step 6 \(from 0\) is nan with learning_rate=0.1"):
        fit(module, images, DATA.train_labels, RECIPE, Streams(0), "test", Memory(), [poison])


def test_a_learning_rate_that_is_too_large_is_told_apart_from_a_result() -> None:
    with pytest.raises(ConfigError, match=r"training diverged.*learning_rate=1000000.0; set a smaller one"):
        trained(replace(RECIPE, learning_rate=1e6))


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"momentum": 1.5}, {"weight_decay": -1.0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(RECIPE, **wrong)


def test_starting_weights_have_torchs_law() -> None:
    """Uniform on +-1/sqrt(fan_in): the largest of 720 is below the bound and, but for 1e-16, above 0.95 of it."""
    state = started().state_dict()
    bound = 1 / math.sqrt(36)
    weight = state["fc1.weight"].numpy()
    assert 0.95 * bound < np.abs(weight).max() <= bound
    assert abs(weight.mean()) < 6 * bound / math.sqrt(3 * 720)  # six standard errors: fails once in 5e8 seeds
    assert not state["fc1.bias"].any()
