"""What every network of configs/network promises. A new YAML file is tested at once."""

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lth_runner.config.build import build
from lth_runner.config.compose import choices, composed
from lth_runner.networks.graph import trace
from lth_runner.networks.interface import Architecture, filled, parameter_shapes, skeleton, state_shapes, tensors_of
from lth_runner.networks.layers import approximable, weight_layers
from lth_runner.ticket.file import needed_trust, read_ticket, save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.names import kind_of, own_parts
from lth_runner.ticket.source import Stored
from lth_runner.ticket.ticket import Ticket

IMAGES = [(1, 28, 28), (3, 32, 32), (1, 8, 8)]  # of the datasets there are
NEEDS = {"imported": ["network.builder=small_networks.Convolutions", "+network.arguments.width=4"]}
TRUST = ["small_networks"]
LARGE = ("vgg16", "vgg19")
NETWORKS = [pytest.param(n, marks=pytest.mark.slow if n in LARGE else []) for n in choices("network")]


@cache
def architecture(name: str) -> Any:
    return build(composed([f"network={name}", *NEEDS.get(name, [])])["network"], "network")


@cache
def own_state(name: str) -> dict[str, np.ndarray]:
    """Weights as the builder draws them, and statistics of norms that are not those of a fresh module."""
    torch.manual_seed(0)
    module = architecture(name).module()
    for key, buffer in module.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + (0.5 if "var" in key else 0.0))
    return {key: tensor.detach().numpy().copy() for key, tensor in tensors_of(module).items()}


def images(name: str) -> torch.Tensor:
    """Of the first dataset whose shape the network takes."""
    module = architecture(name).module().eval()
    for shape in IMAGES:
        x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
        try:
            module(x)
        except RuntimeError:
            continue
        return x
    raise AssertionError(f"{name} takes images of none of the shapes {IMAGES}")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_it_builds_and_takes_images_of_a_dataset(name: str) -> None:
    network = architecture(name)
    assert isinstance(network, Architecture)
    outputs = network.module().eval()(images(name))
    assert outputs.ndim == 2 and len(outputs) == 3


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_follow_from_the_module_without_its_numbers(name: str) -> None:
    network = architecture(name)
    module = network.module()
    assert parameter_shapes(network) == {key: tuple(value.shape) for key, value in module.named_parameters()}
    assert state_shapes(network) == {key: tuple(value.shape) for key, value in tensors_of(module).items()}
    assert all(tensor.is_meta for tensor in skeleton(network).parameters()), "nothing is drawn to learn a shape"
    assert set(approximable(network)) <= set(parameter_shapes(network))


@pytest.mark.parametrize("name", NETWORKS)
def test_two_modules_share_nothing(name: str) -> None:
    first, second = (architecture(name).module() for _ in range(2))
    places = [{tensor.data_ptr() for tensor in tensors_of(module).values()} for module in (first, second)]
    assert not places[0] & places[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_filled_with_a_state_it_computes_what_a_module_with_that_state_does(name: str) -> None:
    network, state, x = architecture(name), own_state(name), images(name)
    module = network.module()
    module.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()}, strict=False)
    found = filled(network, state)
    assert not found.training and not any(parameter.requires_grad for parameter in found.parameters())
    module.eval().requires_grad_(False)  # torch's attention rounds otherwise where a gradient may be wanted
    assert torch.equal(found(x), module(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_ticket_of_stored_weights_is_read_back(name: str, tmp_path: Path) -> None:
    network, state, path = architecture(name), own_state(name), tmp_path / "ticket.safetensors"
    weights = {key: Stored(array=array, origin="trained") for key, array in state.items()}
    ticket = Ticket(architecture=network, seed=0, weights=weights, masks={})
    save_ticket(ticket, path)
    again = read_ticket(path, TRUST)
    assert again.architecture == network and to_bytes(again) == path.read_bytes()
    assert (ticket.drawn(), ticket.kept()) == (0, 0) and ticket.stored() == sum(array.size for array in state.values())
    x = images(name)
    assert torch.equal(materialise(again).module()(x), filled(network, state)(x))
    assert needed_trust(ticket) == (set(TRUST) if name in NEEDS else set())


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_its_forward_pass_is_traced(name: str) -> None:
    found = trace(skeleton(architecture(name)), positive_inputs=True)
    assert found is not None
    module = architecture(name).module()
    assert found.never_negative.keys() <= dict(module.named_modules()).keys()
    layers = weight_layers(architecture(name), positive_inputs=True)
    assert not layers or layers[0].never_negative, "the first layer sees the pixels"


@pytest.mark.slow
def test_kinds_are_unique_and_read_back() -> None:
    kinds = [kind_of(part) for part in own_parts()]
    assert len(kinds) == len(set(kinds))
    for name in choices("network"):
        assert kind_of(type(architecture(name))) in kinds


def test_no_part_of_another_package_takes_a_kind_of_ours() -> None:
    part = next(iter(own_parts()))
    imitation = type("Imitation", (), {"kind": kind_of(part), "__module__": "some_lab.nets"})
    assert kind_of(imitation) == "some_lab.nets:Imitation"


def test_settings_are_plain_so_that_a_file_can_hold_them() -> None:
    for name in choices("network"):
        for field in fields(architecture(name)):
            value = getattr(architecture(name), field.name)
            plain = isinstance(value, int | float | str | bool | list | tuple | dict | None)
            assert plain or type(value) in own_parts(), "a part of ours, of plain settings"
