"""Binary activations: their values and derivative by definition, and a search through them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import PLAIN, problem

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.sign_activations import SignActivations, sign
from lth_runner.search.biprop import Biprop
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.scored import ScoredNetwork
from lth_runner.ticket.file import read_ticket, save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise
from lth_runner.training.fast_cpu.layers import linear_layers

pytestmark = pytest.mark.usefixtures("one_thread")
BINARY = SignActivations(original=PLAIN)
METHOD = Biprop(
    frozen=[], biases="zero",
    density=0.3, scope="layer", epochs=2, batch=32, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, validation=100,
    distribution=KaimingNormal(gain=2**0.5, density=1.0), scores=KaimingUniform(gain=3**-0.5, density=1.0),
)  # fmt: skip


def test_values_are_signs_and_the_derivative_is_that_of_a_clamp() -> None:
    x = torch.tensor([-3.0, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.5], requires_grad=True)
    outer = torch.arange(1.0, 9.0)
    assert sign(x).tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    (found,) = torch.autograd.grad((sign(x) * outer).sum(), x)
    assert found.tolist() == [0, 2, 3, 4, 5, 6, 7, 0]
    batched = torch.func.vmap(torch.func.grad(lambda each: (sign(each) * outer).sum()))(x.detach().repeat(2, 1))
    assert torch.equal(batched, found.repeat(2, 1))


def test_every_relu_is_replaced_under_its_name_and_a_network_without_one_is_refused() -> None:
    module = BINARY.module()
    assert [name for name, _ in module.named_children()] == [name for name, _ in PLAIN.module().named_children()]
    x = torch.randn(4, 36, generator=torch.Generator().manual_seed(0))
    layers = list(module.children())
    seen = layers[2](layers[1](layers[0](x)))
    assert set(seen.unique().tolist()) == {-1.0, 1.0}
    with pytest.raises(ConfigError, match=r"has no torch\.nn\.ReLU that another activation could replace"):
        SignActivations(original=FullyConnected(inputs=4, hidden=2, outputs=2, depth=1, biases=False))


def test_kernels_for_relu_networks_are_not_used() -> None:
    assert linear_layers(PLAIN.module()) and not linear_layers(BINARY.module())


def test_a_search_is_the_same_with_and_without_compiled_selection() -> None:
    """Gradients through signs, by the definition that autograd gets, in both trainers: equal masks."""
    module, generator = BINARY.module().requires_grad_(False), torch.Generator().manual_seed(1)
    scores = {name: torch.randn(weight.shape, generator=generator) for name, weight in module.named_parameters()}
    network = ScoredNetwork(module=module, scores=scores, density=0.3, scope="layer")
    compiled = ScoreTraining(network, METHOD.momentum, METHOD.weight_decay, binary=True)
    plain = FunctionalTraining([network], METHOD, "cpu")
    start = compiled.masks()
    for _ in range(20):
        inputs, labels = torch.randn(32, 1, 6, 6, generator=generator), torch.arange(32) % 10
        one, other = compiled.step(inputs, labels, 0.5), plain.step(inputs, labels, 0.5)
        torch.testing.assert_close(one, other)
    for name, mask in compiled.masks().items():
        assert torch.equal(mask, plain.masks(0)[name]) and not torch.equal(mask, start[name])


def test_a_ticket_with_binary_activations_is_read_back(tmp_path: Path) -> None:
    ticket = METHOD.find(problem(network=BINARY), Memory(tmp_path)).ticket
    save_ticket(ticket, tmp_path / "ticket.safetensors")
    again = read_ticket(tmp_path / "ticket.safetensors")
    assert to_bytes(again) == to_bytes(ticket) and again.architecture == BINARY
    weights = [np.unique(np.abs(array)) for array in materialise(again).readings.values()]
    assert all(len(sizes) == 2 and sizes[0] == 0 for sizes in weights), "pruned, or of the size of their tensor"
