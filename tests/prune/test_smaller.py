"""Trainings on the network without its empty units, step by step beside the masked ones of the whole network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory

from lth_runner.config.compose import method_of
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.measure.claims import claimed
from lth_runner.measure.ticket import measure_ticket
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.resnet import ResNet
from lth_runner.networks.vgg import VGG
from lth_runner.networks.vit import ViT
from lth_runner.problem import Problem
from lth_runner.prune.channels import channels
from lth_runner.prune.retraining import retrained
from lth_runner.prune.smaller import Smaller, smaller
from lth_runner.prune.transformer_units import heads, hidden_neurons
from lth_runner.prune.units import masks
from lth_runner.ticket.materialise import materialise
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import State
from lth_runner.training.train import train

DATA = Synthetic(train_count=160, test_count=60, side=8, classes=10, seed=0, noise=0.2).load(lambda line: None)
INPUTS: Any = DATA.train_inputs.double()  # type: ignore[union-attr]
NETWORKS: dict[str, Any] = {
    "vgg": VGG(channels=1, convolutions=((4, 6), (5,)), outputs=10, batch_norm=True),
    "resnet": ResNet(channels=1, width=2, blocks=1, outputs=10, shortcut="projection"),
    "vit": ViT(channels=1, side=8, patch=4, width=12, heads=3, depth=2, hidden=10, outputs=10, class_token=True),
}
SGD = Recipe(
    length="3ep", batch=30, learning_rate=0.05, optimizer="SGD", momentum=0.9, weight_decay=0.01,
    optimizer_arguments=None, schedule="cosine", schedule_arguments=None, schedule_unit="epoch",
)  # fmt: skip
ADAM = replace(SGD, learning_rate=0.003, optimizer="Adam", momentum=0.0)

pytestmark = pytest.mark.usefixtures("one_thread")


def module_of(network: Any) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network.module().double()


def masks_of(network: Any, share: float = 0.5) -> dict[str, torch.Tensor]:
    """Of whole units of every group, at least one of each, and of some single weights of the last layer besides."""
    groups = {**channels(network), **heads(network), **hidden_neurons(network)}
    draws = np.random.default_rng(1)
    kept = {name: np.arange(group.count) < max(1, round(share * group.count)) for name, group in groups.items()}
    kept = {name: draws.permutation(units) for name, units in kept.items()}
    shapes = {name: tuple(p.shape) for name, p in network.module().named_parameters()}
    found = {name: np.broadcast_to(mask, shapes[name]) for name, mask in masks(groups, kept, shapes).items()}
    last = [name for name, shape in shapes.items() if len(shape) == 2][-1]
    found[last] = found.get(last, True) & (draws.random(shapes[last]) < 0.7)
    return {name: torch.from_numpy(mask.copy()) for name, mask in found.items()}


def cut(network: Any, recipe: Recipe = SGD, given: Any = None) -> Smaller | None:
    return smaller(network, module_of(network), given or masks_of(network), recipe, INPUTS)


def trained(module: torch.nn.Module, recipe: Recipe, given: Any, steps: int, start: State | None = None) -> State:
    stop = Step(epochs=0, updates=steps)
    data = (INPUTS, DATA.train_labels)
    return train(module, data, recipe, Streams(0), "t", Memory(), masks=given, start=start, stop=stop)


@pytest.mark.parametrize("recipe", [SGD, ADAM, replace(SGD, optimizer="RMSprop")], ids=lambda recipe: recipe.optimizer)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_is_that_of_the_masked_network(name: str, recipe: Recipe) -> None:
    """Weights, norms' statistics and the optimizer's memory; float64, so that rounding stays small.

    The biases of keys have a gradient of 0, whose rounding errors Adam and RMSprop make steps of: they have no say.
    """
    network = NETWORKS[name]
    given, less = masks_of(network), cut(network, recipe)
    assert less is not None and less.share < 0.75
    begin = plain = small = trained(module_of(network), recipe, given, 0)
    for step in range(1, 9):
        plain = trained(module_of(network), recipe, given, step, plain)
        small = less.whole(trained(less.module, recipe, less.masks(given), step, less.state(small)), small)
        assert small.optimizer.keys() == plain.optimizer.keys()
        for part in ("parameters", "buffers", "optimizer"):
            got, wanted = getattr(small, part), getattr(plain, part)
            for key, tensor in wanted.items():
                assert got[key].dtype == tensor.dtype, key
                pair = (got[key], tensor)
                if tensor.ndim and key.endswith("in_proj_bias"):
                    pair = tuple(torch.cat((each.chunk(3)[0], each.chunk(3)[2])) for each in pair)
                torch.testing.assert_close(*pair, rtol=1e-7, atol=1e-9, msg=f"{key} after step {step}")
    for key, mask in given.items():
        assert not small.parameters[key][~mask].any(), "pruned weights stay exactly 0"
    moved = [small.parameters[key][mask] != begin.parameters[key][mask] for key, mask in given.items()]
    assert torch.cat(moved).float().mean() > 0.9, "what is kept moves"


def test_statistics_of_empty_channels_shrink_over_many_steps() -> None:
    network = NETWORKS["vgg"]
    given, less = masks_of(network), cut(network)
    assert less is not None
    begin = trained(module_of(network), SGD, given, 0)
    plain = trained(module_of(network), SGD, given, 15)
    small = less.whole(trained(less.module, SGD, less.masks(given), 15, less.state(begin)), begin)
    empty = ~given["bn1.weight"]
    assert empty.any()
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(small.buffers[f"bn1.{name}"], plain.buffers[f"bn1.{name}"], rtol=1e-6, atol=1e-9)
    assert small.buffers["bn1.num_batches_tracked"] == 15


@pytest.mark.parametrize("place", ["weight", "bias"])
def test_a_channel_that_still_gives_something_stays(place: str) -> None:
    """Its weights are masked, but the norm's bias, or scale, is kept."""
    network = NETWORKS["vgg"]
    whole = cut(network)
    kept = cut(network, given={**masks_of(network), f"bn1.{place}": torch.ones(4, dtype=torch.bool)})
    assert whole is not None and whole.module.get_parameter("bn1.bias").shape == (2,)
    assert kept is not None and kept.module.get_parameter("bn1.bias").shape == (4,)


class Dropping:
    def module(self) -> torch.nn.Module:
        parts = list(NETWORKS["vgg"].module())
        return torch.nn.Sequential(*parts[:3], torch.nn.Dropout(0.1), *parts[3:])


class Averaging:
    def module(self) -> torch.nn.Module:
        module: Any = NETWORKS["vgg"].module()
        module.bn1.momentum = None
        return module


class Reading(torch.nn.Module):
    """A sequence of two layers, whose hidden width is written down in the forward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = torch.nn.Sequential(torch.nn.Linear(64, 20), torch.nn.GELU(), torch.nn.Linear(20, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mlp[2](self.mlp[1](self.mlp[0](x.flatten(1))).reshape(-1, 20))

    def module(self) -> torch.nn.Module:
        return Reading()


@pytest.mark.parametrize("network", [Dropping(), Averaging(), Reading()], ids=lambda one: type(one).__name__)
def test_what_would_give_other_numbers_is_trained_whole(network: Any) -> None:
    assert cut(network) is None


@pytest.mark.parametrize("optimizer", ["Muon", "Adafactor"])
def test_optimizers_that_mix_the_weights_of_a_tensor_have_whole_tensors(optimizer: str) -> None:
    recipe = replace(ADAM)
    object.__setattr__(recipe, "optimizer", optimizer)  # Muon refuses a network with biases later
    assert cut(NETWORKS["vgg"], recipe) is None


def test_it_is_left_where_little_is_cut_out() -> None:
    network = NETWORKS["vgg"]
    assert smaller(network, module_of(network), masks_of(network, share=0.9), SGD, INPUTS) is None


def test_masks_of_single_weights_empty_no_units() -> None:
    network = NETWORKS["vgg"]
    single = {name: mask & (torch.rand(mask.shape) < 0.1) for name, mask in masks_of(network).items() if mask.ndim > 1}
    assert smaller(network, module_of(network), single, SGD, INPUTS) is None


def test_plain_networks_have_steps_of_their_own() -> None:
    network = FullyConnected(inputs=64, hidden=20, outputs=10, depth=2, biases=True)
    assert cut(network) is not None, "in float64 they have none"
    assert smaller(network, network.module(), masks_of(network), SGD, INPUTS.float()) is None


@pytest.mark.parametrize(("name", "network"), [("early_bird", "vgg"), ("early_bert", "vit")])
def test_tickets_are_trained_so_and_stored_whole(tmp_path: Path, name: str, network: str) -> None:
    problem = Problem(network=NETWORKS[network], target=None, data=DATA, streams=Streams(3), device="cpu")
    recorder = Memory(tmp_path)
    settings = {
        "validation": 40,
        "training": {"length": "2ep", "batch": 20},
        "every": "3it",
        "window": 2,
        "density": 0.4,
    }
    method = method_of(name, {**settings, "retrain": "rewound"})
    ticket = method.find(problem, recorder).ticket
    assert any("trained without its empty units" in line for line in recorder.said)
    shapes = {key: tuple(tensor.shape) for key, tensor in NETWORKS[network].module().named_parameters()}
    assert {key: source.shape for key, source in ticket.weights.items() if key in shapes} == shapes
    for key, mask in ticket.masks.items():
        pruned = ~np.broadcast_to(mask.dense(), shapes[key])
        assert not ticket.weights[key].array[pruned].any()  # type: ignore[union-attr]
    measured = measure_ticket(materialise(ticket), problem, epsilon=1.0, outputs=False, approximates=False)
    again = retrained(claimed(ticket, measured, method, problem, epsilon=1.0), DATA, Memory(tmp_path / "again"))
    assert again.differing == 0, "trained again, it takes the same steps"
