"""Tickets rebuilt: the weights are the masked random numbers, drawn in blocks or whole."""

import numpy as np
import pytest
import torch

from lth_runner.core.errors import DataError
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.ticket import masked_tensor
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import effective_weights, pruned_network
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=6, hidden=5, outputs=3, depth=2, biases=False)


def ticket(shared: bool, offered: int | None) -> Ticket:
    tensors, masks = {}, {}
    for name, shape in parameter_shapes(NETWORK).items():
        extra = () if offered is None else (offered,)
        drawn = (shape[0], 1, *extra) if shared else (*shape, *extra)
        tensors[name] = RandomTensor(shape=drawn, distribution=Uniform(low=-1.0, high=1.0), path=("weights", name))
        masks[name] = Mask.pack(np.random.default_rng(len(name)).random((*shape, *extra)) < 0.4)
    return Ticket(network=NETWORK, seed=11, tensors=tensors, masks=masks)


@pytest.mark.parametrize(("shared", "offered"), [(False, None), (False, 7), (True, 7)])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_weights_are_masked_sums(
    monkeypatch: pytest.MonkeyPatch, shared: bool, offered: int | None, chunk: int
) -> None:
    monkeypatch.setattr(masked_tensor, "CHUNK", chunk)
    made = ticket(shared, offered)
    for name, weight in effective_weights(made).items():
        expected = made.tensors[name].draw(made.seed) * made.masks[name].dense()
        np.testing.assert_allclose(weight, expected if offered is None else expected.sum(-1), rtol=0, atol=1e-15)


def test_the_pruned_network_carries_those_weights() -> None:
    made = ticket(False, 7)
    module = pruned_network(made, torch.float64)
    images = torch.rand(4, 1, 2, 3, dtype=torch.float64)
    weights = {name: torch.from_numpy(weight) for name, weight in effective_weights(made).items()}
    hidden = (images.flatten(1) @ weights["fc1.weight"].T).relu()
    torch.testing.assert_close(module(images), hidden @ weights["fc2.weight"].T)
    assert not any(parameter.requires_grad for parameter in module.parameters())


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
        effective_weights(Ticket(network=wrong, seed=0, tensors=made.tensors, masks=made.masks))
    deeper = FullyConnected(inputs=6, hidden=5, outputs=5, depth=3, biases=False)
    with pytest.raises(DataError, match=r"no layer fc3.weight|has shape"):
        effective_weights(Ticket(network=deeper, seed=0, tensors=made.tensors, masks=made.masks))
