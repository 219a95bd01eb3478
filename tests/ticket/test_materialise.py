"""Tickets rebuilt: the weights are the masked random numbers, drawn in blocks or whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recorders import Memory

from lth_runner.core.errors import DataError
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.ticket import masked_tensor
from lth_runner.ticket import materialise as materialising
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Drawn, Stored
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=6, hidden=5, outputs=3, depth=2, biases=False)


def ticket(shared: bool, offered: int | None) -> Ticket:
    tensors, masks = {}, {}
    for name, shape in parameter_shapes(NETWORK).items():
        extra = () if offered is None else (offered,)
        drawn = (shape[0], 1, *extra) if shared else (*shape, *extra)
        tensors[name] = Drawn(shape=drawn, distribution=Uniform(low=-1.0, high=1.0), stream=("weights", name))
        masks[name] = Mask.pack(np.random.default_rng(len(name)).random((*shape, *extra)) < 0.4)
    return Ticket(architecture=NETWORK, seed=11, weights=tensors, masks=masks)


@pytest.mark.parametrize(("shared", "offered"), [(False, None), (False, 7), (True, 7)])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_weights_are_masked_sums(
    monkeypatch: pytest.MonkeyPatch, shared: bool, offered: int | None, chunk: int
) -> None:
    monkeypatch.setattr(masked_tensor, "CHUNK", chunk)
    made = ticket(shared, offered)
    for name, weight in materialise(made).readings.items():
        expected = made.random[name].draw(made.seed) * made.masks[name].dense()
        np.testing.assert_allclose(weight, expected if offered is None else expected.sum(-1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("chunk", [1, 50, 10**6])
@pytest.mark.parametrize("drawn", [(1, 1), (1, 6), (5, 1)])
def test_numbers_may_be_shared_along_any_axis(
    monkeypatch: pytest.MonkeyPatch, drawn: tuple[int, int], chunk: int
) -> None:
    monkeypatch.setattr(masked_tensor, "CHUNK", chunk)
    tensor = Drawn(shape=drawn, distribution=Uniform(low=-1.0, high=1.0), stream=("weights",))
    mask = Mask.pack(np.random.default_rng(0).random((5, 6)) < 0.4)
    masked = masked_tensor.MaskedTensor(tensor=tensor, mask=mask, seed=3)
    np.testing.assert_array_equal(masked.dense(np.float64), tensor.draw(3) * mask.dense())


def test_the_pruned_network_carries_those_weights() -> None:
    made = ticket(False, 7)
    module = materialise(made).module(torch.float64)
    images = torch.rand(4, 1, 2, 3, dtype=torch.float64)
    weights = {name: torch.from_numpy(weight) for name, weight in materialise(made).readings.items()}
    hidden = (images.flatten(1) @ weights["fc1.weight"].T).relu()
    torch.testing.assert_close(module(images), hidden @ weights["fc2.weight"].T)
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_large_ticket_tells_how_far_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    made, memory = ticket(True, 7), Memory()
    assert materialise(made, bars=memory.progress).readings
    assert memory.bars == []
    monkeypatch.setattr(materialising, "LARGE", made.drawn())
    assert materialise(made, bars=memory.progress).readings
    assert [(total, bar.done) for _, total, bar in memory.bars] == [(made.drawn(), made.drawn())]


def test_counts() -> None:
    assert ticket(False, 7).drawn() == 7 * 45
    assert ticket(True, 7).drawn() == 7 * 8  # one vector per output row: 5 + 3 rows
    assert ticket(True, 7).offered() == 7 * 45
    dense = sum(int(mask.dense().sum()) for mask in ticket(True, 7).masks.values())
    assert ticket(True, 7).kept() == dense > 0


def test_a_ticket_of_another_network_is_refused() -> None:
    made = ticket(False, 7)
    wrong = FullyConnected(inputs=6, hidden=4, outputs=3, depth=2, biases=False)
    with pytest.raises(DataError, match="has shape"):
        Ticket(architecture=wrong, seed=0, weights=made.weights, masks=made.masks)
    deeper = FullyConnected(inputs=6, hidden=5, outputs=5, depth=3, biases=False)
    with pytest.raises(DataError, match=r"missing are fc3\.weight"):
        Ticket(architecture=deeper, seed=0, weights=made.weights, masks=made.masks)


def test_a_mask_of_neurons_prunes_whole_rows_and_counts_what_it_prunes() -> None:
    made = ticket(False, None)
    rows = np.array([True, False, True, False, False])
    pruned = replace(made, masks={**made.masks, "fc1.weight": Mask.pack(rows[:, None])})
    first = materialise(pruned).readings["fc1.weight"]
    np.testing.assert_array_equal(first, np.where(rows[:, None], made.random["fc1.weight"].draw(11), 0))
    assert pruned.kept() == 2 * 6 + pruned.masks["fc2.weight"].kept()
    assert pruned.offered() == made.offered()


def test_what_is_stored_is_as_it_is_and_counted_apart() -> None:
    made = ticket(False, None)
    array = np.arange(15, dtype=np.float32).reshape(3, 5)
    masks = {"fc1.weight": made.masks["fc1.weight"]}
    mixed = Ticket(
        architecture=NETWORK,
        seed=11,
        weights={**made.weights, "fc2.weight": Stored(array=array, origin="target")},
        masks=masks,
    )
    assert (mixed.drawn(), mixed.stored(), mixed.offered(), mixed.kept()) == (30, 15, 30, masks["fc1.weight"].kept())
    network = materialise(mixed)
    np.testing.assert_array_equal(network.readings["fc2.weight"], array)
    assert list(network.approximated) == ["fc1.weight"]


def test_a_stored_number_for_many_places_is_one_number() -> None:
    made = ticket(False, None)
    one = Stored(array=np.ones((1, 1), np.float32), origin="target")
    masks = {"fc1.weight": Mask.pack(np.ones((5, 6), bool))}
    mixed = replace(made, weights={**made.weights, "fc1.weight": one}, masks=masks)
    assert (mixed.stored(), mixed.kept()) == (1, 30 + 15)
    rows = Mask.pack(np.array([True, False, True, False, False])[:, None])
    own = replace(one, array=np.ones((5, 6), np.float32))
    assert replace(made, weights={**made.weights, "fc1.weight": own}, masks={"fc1.weight": rows}).stored() == 12
