"""Steps on kept weights against dense ones, step by step; what hooks see; exact resumes; what takes the plain path."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_recipe import PLAIN
from recorders import Memory
from torch import nn

from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.data.interface import images as images_of
from lth_runner.data.interface import labels as labels_of
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.training.fast_cpu import sparse
from lth_runner.training.fast_cpu.kernels import LANES
from lth_runner.training.loop import Batches
from lth_runner.training.loss import classification
from lth_runner.training.recipe import Recipe
from lth_runner.training.start import start_
from lth_runner.training.state import State, load_state, save_state
from lth_runner.training.train import train
from lth_runner.training.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = Synthetic(train_count=230, test_count=50, side=6, classes=10, seed=0, noise=0.1).load(lambda line: None)
IMAGES = (images_of(DATA.train_inputs), labels_of(DATA.train_labels))
RECIPE = Recipe(length="12ep", batch=50, learning_rate=0.1, momentum=0.0, weight_decay=0.0, **PLAIN)  # 60 steps
# With torch's epsilon a gradient that is nothing but rounding decides the direction of a step.
ADAM = {"learning_rate": 0.003, "optimizer": "Adam", "optimizer_arguments": {"eps": 1e-4}}
RECIPES: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SGD momentum": {"momentum": 0.9},
    "SGD momentum, decay": {"momentum": 0.9, "weight_decay": 0.01, "learning_rate": 0.02},
    "SGD nesterov": {"momentum": 0.8, "weight_decay": 0.001, "optimizer_arguments": {"nesterov": True}},
    "Adam": ADAM,
    "Adam decay": ADAM | {"weight_decay": 0.01},
    "Adam other betas": ADAM | {"optimizer_arguments": {"betas": [0.8, 0.95], "eps": 1e-3}},
    "AdamW": ADAM | {"optimizer": "AdamW", "weight_decay": 0.1},
}


def drawn(*densities: float) -> dict[str, torch.Tensor]:
    """Masks of the three layers with these densities."""
    draws = torch.Generator().manual_seed(0)
    shapes = {name: parameter.shape for name, parameter in started().named_parameters() if parameter.ndim == 2}
    pairs = zip(shapes.items(), densities, strict=True)
    return {name: torch.rand(shape, generator=draws) < density for (name, shape), density in pairs}


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


def started(biases: bool = True) -> nn.Module:
    module = FullyConnected(inputs=36, hidden=20, outputs=10, depth=3, biases=biases).module()
    start_(module, Streams(0), "test")
    return module


def plainly(module: nn.Module, inputs: Any, labels: torch.Tensor | None) -> torch.Tensor:
    """The same loss by another name, which the fast path does not know."""
    return classification(module, inputs, labels)


def training(
    recipe: Recipe, masks: dict[str, torch.Tensor], module: nn.Module | None = None, **options: Any
) -> Training:
    module = started() if module is None else module
    start, loss = options.pop("start", None), options.pop("loss", classification)
    return Training(module, batches(recipe, **options), recipe, masks, start, loss, Memory())


def batches(recipe: Recipe, **options: Any) -> Batches:
    inputs, labels = options.pop("data", IMAGES)
    given: dict[str, Any] = {"size": recipe.batch, "streams": Streams(0), "purpose": "test", "augment": None, **options}
    return Batches(inputs=inputs, labels=labels, **given)


def is_sparse(found: Training) -> bool:
    return found.kind_of_step.startswith("sparse")


def trained(recipe: Recipe, masks: dict[str, torch.Tensor], **options: Any) -> State:
    recorder = options.pop("recorder", Memory())
    return train(started(), IMAGES, recipe, Streams(0), "test", recorder, masks=masks, **options)


def same(one: State, other: State) -> bool:
    parts = [(s.parameters, s.buffers, s.optimizer) for s in (one, other)]
    return one.step == other.step and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(*parts, strict=True)
    )


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


def conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 10))


def hooked() -> nn.Module:
    module = started()
    module.get_submodule("fc2").register_forward_hook(lambda *args: None)
    return module


def fixed() -> nn.Module:
    module = started()
    module.get_parameter("fc2.bias").requires_grad_(False)
    return module


def tied() -> nn.Module:
    square = nn.Linear(36, 36)
    return nn.Sequential(nn.Flatten(), square, nn.ReLU(), square, nn.ReLU(), nn.Linear(36, 10))


def shared_weight() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 10))
    module[3].weight = module[1].weight
    return module


class Scaled(nn.Linear):
    """Computes something else."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


L = nn.Linear
UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.1), L(36, 10)),
    "batch norm": lambda: nn.Sequential(nn.Flatten(), L(36, 20), nn.BatchNorm1d(20), nn.ReLU(), L(20, 10)),
    "another activation": lambda: nn.Sequential(nn.Flatten(), L(36, 20), nn.Tanh(), L(20, 10)),
    "a ReLU at the end": lambda: nn.Sequential(nn.Flatten(), L(36, 10), nn.ReLU()),
    "nothing flattened": lambda: nn.Sequential(nn.Identity(), L(6, 10)),
    "a bias in one layer": lambda: nn.Sequential(nn.Flatten(), L(36, 20, bias=False), nn.ReLU(), L(20, 10)),
    "a layer of another kind": lambda: nn.Sequential(nn.Flatten(), L(36, 20), nn.ReLU(), Scaled(20, 10)),
    "convolutions": conv,
    "a hook": hooked,
    "a fixed bias": fixed,
    "a layer in two places": tied,
    "a weight in two places": shared_weight,
}


def pruned(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.rand(p.shape) < 0.02 for name, p in module.named_parameters() if p.ndim > 1}


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_networks_take_the_plain_path(name: str) -> None:
    module = UNKNOWN[name]()
    assert not is_sparse(training(RECIPE, pruned(module), module))


def test_one_relu_in_two_places_is_known() -> None:
    relu = nn.ReLU()
    module = nn.Sequential(nn.Flatten(), L(36, 20), relu, L(20, 20), relu, L(20, 10))
    assert is_sparse(training(RECIPE, pruned(module), module))


def noisy(images: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    return images + torch.from_numpy(generator.normal(0, 0.1, images.shape)).to(images.dtype)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"optimizer": "RMSprop"}, {}),
        ({"optimizer": "Adam", "optimizer_arguments": {"amsgrad": True}}, {}),
        ({"momentum": 0.9, "optimizer_arguments": {"dampening": 0.1}}, {}),
        ({"optimizer_arguments": {"maximize": True}}, {}),
        ({}, {"loss": plainly}),
        ({}, {"augment": noisy}),
        ({}, {"data": (IMAGES[0], None)}),
        ({}, {"data": (IMAGES[0].double(), IMAGES[1])}),
        ({}, {"data": (IMAGES[0], IMAGES[1] - 1)}),  # as torch reads them, -100 would be left out
        ({}, {"data": (IMAGES[0], torch.eye(10)[IMAGES[1]])}),  # probabilities
        ({}, {"data": ({"images": IMAGES[0]}, IMAGES[1])}),
    ],
    ids=[
        "rmsprop",
        "amsgrad",
        "dampening",
        "maximize",
        "loss",
        "augment",
        "no labels",
        "float64",
        "labels below 0",
        "probabilities",
        "named inputs",
    ],
)
def test_other_trainings_take_the_plain_path(settings: dict[str, Any], options: dict[str, Any]) -> None:
    masks = drawn(0.05, 0.05, 0.05)
    assert is_sparse(training(RECIPE, masks))
    assert not is_sparse(training(replace(RECIPE, **settings), masks, **options))
    assert not is_sparse(training(RECIPE, masks, started().double(), data=(IMAGES[0].double(), IMAGES[1])))
    assert not is_sparse(training(RECIPE, masks | {"fc1.bias": torch.arange(20) > 3}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_takes_the_plain_path() -> None:
    data = IMAGES[0].cuda(), IMAGES[1].cuda()
    assert not is_sparse(training(RECIPE, drawn(0.05, 0.05, 0.05), started().cuda(), data=data))


def test_it_pays_where_few_weights_are_kept() -> None:
    def densities(batch: int) -> list[float]:
        grid = np.linspace(0, 1, 101)
        return [d for d in grid if sparse.pays([torch.arange(1000)[None] < 1000 * d], batch)]

    for batch in (1, 60, 64, 65, 1000):
        assert densities(batch) == list(np.linspace(0, 1, 101)[: len(densities(batch))]), "up to some density"
    assert max(densities(60)) == pytest.approx(0.62)
    assert max(densities(1000)) == pytest.approx(0.34)
    assert not is_sparse(training(RECIPE, {}))
