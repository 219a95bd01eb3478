"""Tickets of greedy selection: scaled, masked by neurons, random where nothing was trained."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory

import lth_runner as lth
from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Found, Problem
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn
from lth_runner.training.split import split

HIDDEN = 12
DATA = Synthetic(train_count=200, test_count=100, side=6, classes=10, seed=0, noise=0.2).load(lambda line: None)
NETWORK = FullyConnected(inputs=36, hidden=HIDDEN, outputs=10, depth=2, biases=True)
SMALL: dict[str, Any] = {
    "validation": 50, "images": 60, "training": {"length": "2ep", "batch": 20}, "retrain": False,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


def method(**settings: Any) -> Any:
    return method_of("greedy_selection", {**SMALL, **settings})


def problem(**changes: Any) -> Problem:
    return replace(Problem(network=NETWORK, target=None, data=DATA, streams=Streams(3), device="cpu"), **changes)


def found(tmp_path: Path, density: float, **settings: Any) -> Found:
    return method(**settings).find_each(problem(), Memory(tmp_path), [density])[0]


def arrays(one: Found) -> dict[str, np.ndarray]:
    module = materialise(one.ticket).module()
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("start", ["trained", "random"])
def test_the_ticket_of_all_neurons_is_the_network_itself(tmp_path: Path, start: str) -> None:
    one = found(tmp_path, 1.0, start=start)
    whole = method_of("imp", {"density": 1.0, "validation": 50, "training": SMALL["training"]})
    dense = whole.find(problem(), Memory(tmp_path)).ticket
    if start == "random":
        dense = replace(dense, weights=dense.start)
    for name, array in arrays(one).items():
        np.testing.assert_allclose(array, materialise(dense).module().state_dict()[name].numpy(), rtol=1e-6)
    assert one.ticket.facts["selection_loss"] == pytest.approx(one.ticket.facts["whole_loss"], rel=1e-9)


@pytest.mark.parametrize("settings", [{}, {"weights": "line_search", "repeats": True}, {"objective": "layer"}])
def test_the_loss_of_the_selection_is_that_of_the_ticket(tmp_path: Path, settings: dict[str, Any]) -> None:
    """On the images of the selection, which here are all that train."""
    chosen = {"images": 150, **settings}
    one, whole = found(tmp_path, 0.5, **chosen), found(tmp_path, 1.0, images=150)
    images = trained_on(problem())
    outputs, wanted = (materialise(each.ticket).module(torch.float64)(images[0].double()) for each in (one, whole))
    loss = (
        float((outputs - wanted).square().sum(1).mean())
        if settings.get("objective") == "layer"
        else float(torch.nn.functional.cross_entropy(outputs, images[1]))
    )
    assert one.ticket.facts["selection_loss"] == pytest.approx(loss, rel=1e-4)


def trained_on(posed: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, labels = split(DATA, 50, posed.streams, "training").train
    assert isinstance(inputs, torch.Tensor)
    return inputs, labels


def test_a_random_selection_is_a_strong_ticket(tmp_path: Path) -> None:
    """Its weights are drawn: the first layer as it was, the second times 12 / 3."""
    ticket = found(tmp_path, 0.25, start="random").ticket
    first, second = ticket.weights["fc1.weight"], ticket.weights["fc2.weight"]
    assert isinstance(first, Drawn) and isinstance(second, Drawn)
    assert (first.scale, second.scale) == (1.0, pytest.approx(4.0))
    assert not ticket.start
    assert {name: mask.shape for name, mask in ticket.masks.items()} == {
        "fc1.weight": (12, 1), "fc1.bias": (12,), "fc2.weight": (1, 12),
    }  # fmt: skip
    assert {mask.kept() for mask in ticket.masks.values()} == {3}


def test_densities_share_one_order(tmp_path: Path) -> None:
    few, many = method().find_each(problem(), Memory(tmp_path), [0.25, 0.75])
    kept = [one.ticket.masks["fc1.bias"].dense() for one in (few, many)]
    assert (kept[0] & kept[1]).sum() == 3 and kept[1].sum() == 9
    assert few.ticket.kept() / few.ticket.offered() == 0.25 == few.ticket.facts["density"]


def test_repeats_keep_fewer_neurons_that_weigh_more(tmp_path: Path) -> None:
    facts = found(tmp_path, 1.0, repeats=True).ticket.facts
    assert facts["additions"] == HIDDEN > facts["neurons"]


def test_a_retrained_ticket_starts_from_the_selection_and_prunes_nothing_back(tmp_path: Path) -> None:
    scaled, trained = (found(tmp_path / name, 0.5, retrain=name == "yes") for name in folders(tmp_path, "no", "yes"))
    start, ticket = materialise(trained.ticket, at="start").module().state_dict(), trained.ticket
    for name, array in arrays(scaled).items():
        np.testing.assert_array_equal(array, start[name].numpy())
        mask = np.broadcast_to(ticket.masks[name].dense() if name in ticket.masks else True, array.shape)
        end = arrays(trained)[name]
        assert (end[~mask] == 0).all() and (end[mask] != array[mask]).any()
    assert ticket.facts["steps"] == 16


def folders(folder: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (folder / name).mkdir()
    return names


def test_the_control_has_as_many_neurons(tmp_path: Path) -> None:
    chosen, control = (found(tmp_path, 0.5, control=control) for control in ("none", "random_subset"))
    masks = [one.ticket.masks["fc1.bias"].dense() for one in (chosen, control)]
    assert masks[0].sum() == masks[1].sum() == 6 and (masks[0] != masks[1]).any()
    assert control.ticket.facts["selection_loss"] > chosen.ticket.facts["selection_loss"]


def test_a_strangers_network_of_two_layers_is_taken() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 8), torch.nn.Tanh(), torch.nn.Linear(8, 10))
    one = lth.find("greedy_selection", module, data=DATA, progress=False, density=0.5, **SMALL)
    assert one.ticket.ticket.facts["neurons"] == 4


DEEP = FullyConnected(inputs=36, hidden=HIDDEN, outputs=10, depth=3, biases=True)


@pytest.mark.parametrize("start", ["trained", "random"])
def test_of_all_neurons_of_every_layer_it_is_the_network_itself(tmp_path: Path, start: str) -> None:
    (one,) = method(objective="layer", start=start).find_each(problem(network=DEEP), Memory(tmp_path), [1.0])
    whole = method_of("imp", {"density": 1.0, "validation": 50, "training": SMALL["training"]})
    dense = whole.find(problem(network=DEEP), Memory(tmp_path)).ticket
    if start == "random":
        dense = replace(dense, weights=dense.start)
    for name, array in arrays(one).items():
        np.testing.assert_allclose(array, materialise(dense).module().state_dict()[name].numpy(), rtol=1e-6)


@pytest.mark.parametrize("control", ["none", "random_subset"])
def test_every_layer_imitates_what_the_next_one_gives_in_the_whole_network(tmp_path: Path, control: str) -> None:
    """The loss is the sum over layers of mean squared distances, each of the whole network but for that layer."""
    asked = method(objective="layer", images=150, control=control)
    half, whole = asked.find_each(problem(network=DEEP), Memory(tmp_path), [0.5, 1.0])
    masks = {name: mask.dense() for name, mask in half.ticket.masks.items()}
    assert masks["fc1.weight"].shape == (12, 1) and masks["fc2.weight"].shape == (12, 12)
    assert masks["fc2.weight"].sum() == 6 * 6 and masks["fc3.weight"].sum() == 6
    module = materialise(whole.ticket).module(torch.float64)
    images = trained_on(problem())[0].double()
    loss = 0.0
    for first, second in (("fc1", "fc2"), ("fc2", "fc3")):
        given: list[torch.Tensor] = []
        hook = module.get_submodule(second).register_forward_pre_hook(partial(note, given))
        module(images)
        hook.remove()
        weight = module.get_submodule(second).get_parameter("weight")
        kept = torch.from_numpy(masks[f"{first}.bias"])
        loss += float((given[0] @ (weight * (2.0 * kept - 1)).T).square().sum(1).mean())
    assert half.ticket.facts["selection_loss"] == pytest.approx(loss, rel=1e-4)
    assert half.ticket.facts["neurons"] == 12 and half.ticket.facts["density"] == 0.5


def note(given: list[torch.Tensor], layer: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
    del layer
    given.append(inputs[0])


@pytest.mark.parametrize(
    ("name", "settings"),
    [("greedy_selection", {"objective": "layer"}), ("early_bird", {"unit": "weight", "images": None, "retrain": None})],
)
def test_tickets_of_several_layers_are_verified(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    given = {key: value for key, value in {**SMALL, **settings}.items() if value is not None}
    one = lth.find(name, DEEP.module(), data=DATA, progress=False, density=0.5, **given)
    one.ticket.save(tmp_path / "ticket.safetensors")
    assert lth.verify(tmp_path / "ticket.safetensors", module=DEEP.module(), data=DATA).holds


def test_a_random_selection_from_several_layers_is_a_strong_ticket(tmp_path: Path) -> None:
    chosen = method(objective="layer", start="random")
    (one,) = chosen.find_each(problem(network=DEEP), Memory(tmp_path), [0.25])
    scales = [one.ticket.weights[f"fc{i}.weight"] for i in (1, 2, 3)]
    assert [source.scale for source in scales if isinstance(source, Drawn)] == [1.0, *[pytest.approx(4.0)] * 2]


@pytest.mark.parametrize("objective", ["labels", "output"])
def test_losses_of_the_outputs_are_of_two_layers(objective: str) -> None:
    with pytest.raises(ConfigError, match=r"or set method\.objective=layer"):
        method(objective=objective).check(DEEP, DATA)
    method(objective="layer").check(DEEP, DATA)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"control": "random_subset", "repeats": True}, "set weights=equal and repeats=false"),
        ({"start": "dense"}, "start must be one of trained, random"),
        ({"images": 0}, "images must be at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        method(**settings)


def test_a_density_of_no_neuron_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"density=0\.01 selects none of 12 neurons"):
        found(tmp_path, 0.01)
