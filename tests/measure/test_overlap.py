"""What masks share, against brute force and against random masks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from plain_choice import DOUBLED, PLAIN_PATHS
from recorders import Memory

from lth_runner.construct.pensia import Pensia
from lth_runner.core.streams import Streams
from lth_runner.measure.overlap import Overlap, num_on_path, on_path, overlap, summed
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.problem import Problem
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=3, hidden=2, outputs=2, depth=2, biases=False)


def masks(kept: int, size: int) -> list[np.ndarray]:
    """All masks of that size that keep so many."""
    return [np.isin(np.arange(size), chosen) for chosen in itertools.combinations(range(size), kept)]


def test_of_a_mask_with_itself_everything_is_shared() -> None:
    (mask, *_) = masks(2, 6)
    assert overlap(mask, mask) == Overlap(kept=2, shared=2, chance=2 * 2 / 6)


@pytest.mark.parametrize("kept", [0, 1, 3, 6])
def test_chance_is_the_mean_over_all_masks(kept: int) -> None:
    given = masks(2, 6)[3]
    found = [overlap(given, other) for other in masks(kept, 6)]
    assert np.mean([part.shared for part in found]) == pytest.approx(found[0].chance)
    assert found[0].kept == 2


def test_chance_among_some_places_is_the_mean_over_the_masks_that_keep_as_many_of_them() -> None:
    given, places = np.array([1, 1, 0, 0, 0, 0], bool), np.array([1, 1, 1, 1, 0, 0], bool)
    by_kept: dict[int, list[Overlap]] = {}
    for other in masks(3, 6):
        by_kept.setdefault(int((other & places).sum()), []).append(overlap(given, other, places))
    assert sorted(by_kept) == [1, 2, 3]
    for found in by_kept.values():
        assert np.mean([part.shared for part in found]) == pytest.approx(found[0].chance)


def test_nothing_open_is_no_chance() -> None:
    none = np.zeros(4, bool)
    assert overlap(none, none, none).chance == 0


def test_tensors_add_up() -> None:
    parts = [Overlap(kept=3, shared=1, chance=0.5), Overlap(kept=4, shared=2, chance=0.25)]
    assert summed(parts) == Overlap(kept=7, shared=3, chance=0.75)


def test_second_weights_are_on_a_path_where_their_neuron_has_an_input() -> None:
    split = np.array([[1, 0], [0, 0], [1, 1]], bool)  # (hidden, inputs)
    assert on_path(split, (2, 3)).tolist() == [[True, False, True]] * 2
    assert on_path(split[:, :, None, None], (2, 3, 5, 5)).shape == (2, 3, 5, 5)
    assert on_path(split[:, :, None, None], (2, 3, 5, 5))[:, :, 4, 0].tolist() == [[True, False, True]] * 2


def constructed() -> Ticket:
    method = Pensia(**PLAIN_PATHS | DOUBLED | {"n": 6, "signs": "reserved"})
    target = {name: np.random.default_rng(0).normal(0, 0.3, shape) for name, shape in parameter_shapes(NETWORK).items()}
    problem = Problem(network=NETWORK, target=target, data=None, streams=Streams(0), device="cpu")
    return method.find(problem, Memory()).ticket


def expansion(ticket: Ticket) -> TwoLayerExpansion:
    assert isinstance(ticket.architecture, TwoLayerExpansion)
    return ticket.architecture


def test_weights_without_a_path_are_of_no_use() -> None:
    """Counted one by one: a first weight is of use if its neuron goes on, a second one if its neuron has an input."""
    ticket = constructed()
    rng = np.random.default_rng(1)
    dense = {name: rng.random(mask.shape) < 0.15 for name, mask in ticket.masks.items()}
    count = 0
    for layer in ("fc1", "fc2"):
        split, total = dense[f"{layer}.split.weight"], dense[f"{layer}.sum.weight"]
        count += sum(bool(total[:, neuron].any()) for neuron, _ in np.argwhere(split))
        count += sum(bool(split[neuron].any()) for _, neuron in np.argwhere(total))
    random = replace(ticket, masks={name: Mask.pack(mask) for name, mask in dense.items()})
    assert num_on_path(random, expansion(random)) == count < random.kept()


def test_the_construction_keeps_no_second_weight_for_nothing() -> None:
    ticket = constructed()
    total = sum(mask.kept() for name, mask in ticket.masks.items() if ".sum." in name)
    assert total <= num_on_path(ticket, expansion(ticket)) <= ticket.kept()
