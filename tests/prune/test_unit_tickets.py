"""Tickets of whole units, early-bird and EarlyBERT: nothing of a pruned unit is used, nothing that is cut is missed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory

from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import filled, parameter_shapes
from lth_runner.networks.resnet import ResNet
from lth_runner.networks.vgg import VGG
from lth_runner.networks.vit import ViT
from lth_runner.problem import Found, Problem
from lth_runner.prune.channels import channels
from lth_runner.prune.compact import compacted, kept_units
from lth_runner.prune.transformer_units import Slimmed, heads, hidden_neurons
from lth_runner.prune.units import Units, masks
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.training.train import train

DATA = Synthetic(train_count=160, test_count=60, side=8, classes=10, seed=0, noise=0.2).load(lambda line: None)
VGG_SMALL = VGG(channels=1, convolutions=((4, 6), (5,)), outputs=10, batch_norm=True)
RESNET = ResNet(channels=1, width=2, blocks=1, outputs=10, shortcut="projection")
VIT = ViT(channels=1, side=8, patch=4, width=12, heads=3, depth=2, hidden=10, outputs=10, class_token=True)
SMALL: dict[str, Any] = {"validation": 40, "training": {"length": "4ep", "batch": 20}}
BIRD: dict[str, Any] = {**SMALL, "window": 2}
BERT: dict[str, Any] = {**SMALL, "every": "3it", "window": 2}

pytestmark = pytest.mark.usefixtures("one_thread")


def problem(network: Any) -> Problem:
    return Problem(network=network, target=None, data=DATA, streams=Streams(3), device="cpu")


def found(tmp_path: Path, name: str, network: Any, **settings: Any) -> Found:
    base = BIRD if name == "early_bird" else BERT
    return method_of(name, {**base, **settings}).find(problem(network), Memory(tmp_path))


def random_module(network: Any, seed: int = 0) -> torch.nn.Module:
    generator = np.random.default_rng(seed)
    arrays = {
        name: 0.5 + generator.random(tensor.shape) if "var" in name else generator.normal(size=tensor.shape)
        for name, tensor in network.module().state_dict().items()
        if tensor.is_floating_point()
    }
    return filled(network, arrays, torch.float64)


def some(groups: dict[str, Units], seed: int = 1) -> dict[str, np.ndarray]:
    """About half of the units of every group, and at least one."""
    generator = np.random.default_rng(seed)
    chosen = {name: generator.random(group.count) < 0.5 for name, group in groups.items()}
    for kept in chosen.values():
        kept[0] = True
    return chosen


def masked_(module: torch.nn.Module, groups: dict[str, Units], kept: dict[str, np.ndarray]) -> torch.nn.Module:
    parameters = dict(module.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    for name, mask in masks(groups, kept, shapes).items():
        parameters[name].data *= torch.from_numpy(mask)
    return module


GROUPS: dict[str, tuple[Any, Any]] = {
    "vgg": (VGG_SMALL, channels),
    "resnet": (RESNET, channels),
    "vit": (VIT, lambda network: {**heads(network), **hidden_neurons(network)}),
}


@pytest.mark.parametrize("name", GROUPS)
def test_nothing_of_a_pruned_unit_reaches_the_outputs(name: str) -> None:
    """Whatever its weights and statistics are: set them all to other numbers, but for what the last place prunes."""
    network, of = GROUPS[name]
    groups = of(network)
    kept, module = some(groups), random_module(network)
    masked_(module, groups, kept)
    x = torch.rand(7, 1, 8, 8, dtype=torch.float64)
    before = module(x)
    for group, units in groups.items():
        if not units.removable:
            continue
        for place in units.places[:-1]:
            parameter = module.get_parameter(place.tensor)
            pruned = torch.from_numpy(~place.along(kept[group]))
            rows = parameter.data[pruned]
            parameter.data[pruned] = torch.randn(
                rows.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
            )
    torch.testing.assert_close(module(x), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", GROUPS)
def test_the_compact_network_computes_what_the_masked_one_does(name: str) -> None:
    network, of = GROUPS[name]
    groups = of(network)
    kept = some(groups)
    module = masked_(random_module(network), groups, kept)
    smaller = compacted(module, groups, kept).eval()
    x = torch.rand(9, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(smaller(x), module(x), rtol=1e-10, atol=1e-10)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (smaller, module)]
    assert sizes[0] < sizes[1]
    assert all(p.shape == module.get_parameter(n).shape for n, p in random_module(network).named_parameters()), "a copy"


def test_the_compact_transformer_has_fewer_heads_and_neurons() -> None:
    groups = GROUPS["vit"][1](VIT)
    kept = {name: np.arange(group.count) < (2 if group.count == 3 else 4) for name, group in groups.items()}
    smaller: Any = compacted(masked_(random_module(VIT), groups, kept), groups, kept)
    block = smaller.blocks[1]
    assert block.attention.heads == 2
    assert tuple(block.attention.in_proj.weight.shape) == (3 * 2 * 4, 12)
    assert tuple(block.attention.out_proj.weight.shape) == (12, 2 * 4)
    assert (tuple(block.mlp.fc1.weight.shape), block.mlp.fc2.in_features) == ((4, 12), 4)


def test_the_units_of_a_vgg() -> None:
    """Each convolution's rows, its norm, and the next layer's columns."""
    groups = channels(VGG_SMALL)
    places = {name: [(p.tensor, p.axis) for p in group.places] for name, group in groups.items()}
    norm = lambda i: [(f"conv{i}.weight", 0), (f"bn{i}.weight", 0), (f"bn{i}.bias", 0)]  # noqa: E731
    assert places == {
        "bn1": [*norm(1), ("conv2.weight", 1)],
        "bn2": [*norm(2), ("conv3.weight", 1)],
        "bn3": [*norm(3), ("fc.weight", 1)],
    }
    assert [group.count for group in groups.values()] == [4, 6, 5]


def test_of_a_residual_block_only_the_inner_channels_can_be_cut_out() -> None:
    removable = {name: group.removable for name, group in channels(RESNET).items()}
    inner = {name for name in removable if name.endswith("bn1") and name != "bn1"}
    assert inner and {name for name, flag in removable.items() if flag} == inner


def test_behind_a_flattening_every_position_of_a_channel_belongs_to_it() -> None:
    class Flat:
        def module(self) -> torch.nn.Module:
            return torch.nn.Sequential(
                torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                torch.nn.Flatten(), torch.nn.Linear(3 * 16, 10),
            )  # fmt: skip

    groups = channels(Flat())
    assert groups["1"].places[-1].each == 16
    kept = {"1": np.array([True, False, True])}
    module = masked_(random_module(Flat()), groups, kept)
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(compacted(module, groups, kept)(x), module(x))


def test_a_head_without_its_coefficient_gives_nothing() -> None:
    """Coefficients of 1 change nothing, and one of 0 is a pruned head, or neuron."""
    groups = GROUPS["vit"][1](VIT)
    module, x = random_module(VIT), torch.rand(4, 1, 8, 8, dtype=torch.float64)
    slimmed = Slimmed(module, groups).double()
    torch.testing.assert_close(slimmed(x), module(x))
    kept = some(groups)
    with torch.no_grad():
        for coefficients, units in zip(slimmed.coefficients, kept.values(), strict=True):
            coefficients.copy_(torch.from_numpy(units))
    torch.testing.assert_close(slimmed(x), masked_(random_module(VIT), groups, kept)(x))


@pytest.mark.parametrize(("name", "network"), [("early_bird", VGG_SMALL), ("early_bert", VIT)])
def test_counts_are_exact_and_masks_tell_the_units(tmp_path: Path, name: str, network: Any) -> None:
    ticket = found(tmp_path, name, network, density=0.4, draw="last", retrain="rewound").ticket
    method = method_of(name, BIRD if name == "early_bird" else BERT)
    groups = method.units(network)
    kept = kept_units(groups, ticket.masks)
    assert sum(mask.sum() for mask in kept.values()) == ticket.facts["units_kept"]
    if name == "early_bird":
        assert ticket.facts["units_kept"] == round(0.4 * 15)
    else:
        assert [kept[path].sum() for path in heads(VIT)] == [2, 2], "two thirds of the heads, in each"
        assert sum(kept[path].sum() for path in hidden_neurons(VIT)) == 8, "of all blocks together"
    assert {n: m.shape for n, m in ticket.masks.items()}.keys() >= {
        n for n, shape in parameter_shapes(network).items() if len(shape) > 1
    }


@pytest.mark.parametrize(("name", "network"), [("early_bird", VGG_SMALL), ("early_bert", VIT)])
def test_the_compact_ticket_is_the_ticket(tmp_path: Path, name: str, network: Any) -> None:
    ticket = found(tmp_path, name, network, retrain="rewound").ticket
    groups = method_of(name, {}).units(network)
    module = materialise(ticket).module(torch.float64)
    smaller = compacted(module, groups, kept_units(groups, ticket.masks))
    x = torch.rand(6, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(smaller(x), module(x), rtol=1e-9, atol=1e-9)


def test_scales_are_those_of_a_plain_training_with_the_penalty(tmp_path: Path) -> None:
    """The search in periods is one training with strength * sum |scale| added, by the rule written out here."""
    method = method_of("early_bird", {**BIRD, "strength": 0.01})
    drawing = method.drawing(problem(VGG_SMALL), Memory(tmp_path))
    while not drawing.search.ended:
        drawing.search.grow()
    trainings, norms = drawing.trainings, list(channels(VGG_SMALL))

    def loss(module: Any, inputs: Any, labels: Any) -> torch.Tensor:
        penalty = sum(module.get_parameter(f"{norm}.weight").abs().sum() for norm in norms)
        return torch.nn.functional.cross_entropy(module(inputs), labels) + 0.01 * penalty

    end = train(
        trainings.module(), trainings.split.train, trainings.recipe, trainings.streams, "training", Memory(), loss=loss
    )
    for norm, scales in drawing.search.scales(3).items():
        np.testing.assert_array_equal(scales, end.parameters[f"{norm}.weight"].numpy())
    assert drawing.search.steps == [6, 12, 18, 24]


MLP = FullyConnected(inputs=64, hidden=6, outputs=10, depth=3, biases=True)


def test_single_weights_are_drawn_by_their_magnitude(tmp_path: Path) -> None:
    """The largest of all layers together at the draw; biases stay, and nothing can be cut out."""
    settings = {"unit": "weight", "strength": 0.0, "density": 0.3, "draw": "2ep"}
    ticket = found(tmp_path, "early_bird", MLP, **settings).ticket
    method = method_of("early_bird", {**BIRD, **settings})
    state = method.drawing(problem(MLP), Memory(tmp_path / "again")).search
    state.grow()
    state.grow()
    drawn = {name: tensor.numpy() for name, tensor in state.state(1).parameters.items() if tensor.ndim > 1}
    size = 64 * 6 + 6 * 6 + 6 * 10
    least = np.sort(np.concatenate([np.abs(weight).ravel() for weight in drawn.values()]))[-round(0.3 * size)]
    assert ticket.masks.keys() == drawn.keys() and ticket.facts["units"] == size
    for name, weight in drawn.items():
        np.testing.assert_array_equal(ticket.masks[name].dense(), np.abs(weight) >= least)
    groups = method.units(MLP)
    kept = kept_units(groups, ticket.masks)
    assert sum(units.sum() for units in kept.values()) == round(0.3 * size) == ticket.facts["units_kept"]
    module, x = materialise(ticket).module(), torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(compacted(module, groups, kept)(x), module(x))


def test_masks_of_weights_agree_by_the_same_rule(tmp_path: Path) -> None:
    settings = {"unit": "weight", "distance": 0.05}
    drawing = method_of("early_bird", {**BIRD, **settings}).drawing(problem(MLP), Memory(tmp_path))
    assert drawing.drawn(0.02) == 1, "so few cannot lie further apart than 4 %"
    strict = replace(drawing.method, distance=0.0).drawing(problem(MLP), Memory(tmp_path))
    assert strict.drawn(0.5) == 3, "and half of them never stand still"


def test_a_draw_is_as_early_as_the_masks_agree(tmp_path: Path) -> None:
    method = method_of("early_bird", {**BIRD, "distance": 1.0, "window": 3})
    drawing = method.drawing(problem(VGG_SMALL), Memory(tmp_path))
    assert drawing.drawn(0.5) == 2 and drawing.search.steps == [6, 12, 18], "nothing is trained beyond it"
    strict = replace(method, distance=0.0, window=2)
    last = strict.drawing(problem(VGG_SMALL), Memory(tmp_path))
    at = last.drawn(0.5)
    masks = last.masks(0.5)
    assert at == len(masks) - 1
    assert (masks[at] == masks[at - 1]).all() or last.search.ended


@pytest.mark.parametrize("retrain", ["continue", "rewound", "reinitialised"])
def test_where_a_ticket_starts(tmp_path: Path, retrain: str) -> None:
    one = found(tmp_path, "early_bird", VGG_SMALL, draw="2ep", retrain=retrain)
    ticket, method = one.ticket, method_of("early_bird", BIRD)
    assert ticket.facts["drawn_step"] == 12 and ticket.facts["steps"] == 24
    trainings = method.trainings(problem(VGG_SMALL), Memory(tmp_path))
    start = materialise(ticket, at="start").ticket.weights
    if retrain == "continue":
        state = method.drawing(problem(VGG_SMALL), Memory(tmp_path)).search.state(1)
        np.testing.assert_array_equal(start["conv2.weight"].array, state.parameters["conv2.weight"].numpy())  # type: ignore[union-attr]
        return
    same = start["conv2.weight"] == trainings.start["conv2.weight"]
    assert same == (retrain == "rewound")


def test_a_state_before_the_end_of_the_search_is_found_again(tmp_path: Path) -> None:
    method = method_of("early_bird", BIRD)
    first = method.drawing(problem(VGG_SMALL), Memory(tmp_path)).search
    first.grow()
    wanted = first.state(0)
    for _ in range(2):
        first.grow()
    again = first.state(0)
    assert again.step == wanted.step == 6
    for name, tensor in wanted.parameters.items():
        assert torch.equal(tensor, again.parameters[name])


def test_a_continued_early_bert_has_its_coefficients_in_its_weights(tmp_path: Path) -> None:
    drawing = method_of("early_bert", {**BERT, "strength": 0.05}).drawing(problem(VIT), Memory(tmp_path))
    drawing.search.grow()
    state, search = drawing.search.state(0), drawing.search
    slimmed: Any = search._scaled.module.eval()
    x = torch.rand(5, 1, 8, 8)
    network = filled(VIT, {name: tensor.numpy() for name, tensor in {**state.buffers, **state.parameters}.items()})
    torch.testing.assert_close(network(x), slimmed(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"draw": "last", "retrain": "continue"}, "no step is left to continue with"),
        ({"draw": "soon"}, "draw .early, last or a step. must be"),
        ({"unit": "neuron"}, "unit must be one of channel, weight"),
        ({"window": 1}, "window must be at least 2"),
        ({"every": "0it"}, "every=0it is no step"),
        ({"strength": -1.0}, "strength must be 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        method_of("early_bird", {**BIRD, **settings})


@pytest.mark.parametrize("name", GROUPS)
def test_of_a_group_without_a_kept_unit_a_pruned_one_stays(name: str) -> None:
    network, of = GROUPS[name]
    groups = of(network)
    none = {group: np.zeros(units.count, dtype=bool) for group, units in groups.items()}
    module, x = masked_(random_module(network), groups, none), torch.rand(3, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(compacted(module, groups, none)(x), module(x))


def test_kept_units_are_read_from_masks() -> None:
    groups = GROUPS["vgg"][1](VGG_SMALL)
    kept = some(groups)
    packed = {name: Mask.pack(mask) for name, mask in masks(groups, kept, parameter_shapes(VGG_SMALL)).items()}
    for name, units in kept_units(groups, packed).items():
        assert units.tolist() == kept[name].tolist()
