"""Runs trained together against each trained alone: on the CPU with the functions that a GPU captures."""

import copy

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.grid import ScoreGrid
from lth_runner.search.masked import masked, masked_layers

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 6, 6, generator=GENERATOR), torch.arange(8)) for _ in range(5)]
DENSITIES = (0.0, 0.05, 0.5, 1.0)
MOMENTUM, DECAY = 0.9, 5e-4
SIZES = {"inputs": 36, "hidden": 20, "outputs": 10, "depth": 3}
PLAIN = FullyConnected(**SIZES, biases=True)
LINEAR = RedundantFullyConnected(**SIZES, redundancy=3, relu=False)
RELU = RedundantFullyConnected(**SIZES, redundancy=3, relu=True)
WITHOUT_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
Kind = FullyConnected | RedundantFullyConnected | LeNet5


def network(kind: Kind, density: float, seed: int, scope: str = "layer") -> torch.nn.Module:
    """A masked network whose biases are the same for every seed."""
    module, generator, scores = kind.module(), torch.Generator().manual_seed(seed), {}
    for name, value in module.named_parameters():
        if name.endswith("bias"):
            value.data.fill_(0.1)
        else:
            value.data.normal_(0, 0.3, generator=generator)
            scores[name] = torch.randn(value.shape, generator=generator) * 0.1
    return masked(module, scores, density, scope)


@pytest.mark.parametrize("kind", [PLAIN, LINEAR, RELU])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, WITHOUT_GPU])])
def test_together_as_alone(kind: Kind, scope: str, device: str) -> None:
    """Runs differ in weights, scores and density."""
    networks = [network(kind, density, seed, scope) for seed, density in enumerate(DENSITIES)]
    alone = [ScoreTraining(copy.deepcopy(one), MOMENTUM, DECAY, binary=False) for one in networks]
    grid = ScoreGrid(networks, MOMENTUM, DECAY, device, compiled=device != "cpu")
    for run, training in enumerate(alone):
        together = grid.masks(run)
        assert all(torch.equal(together[name].cpu(), mask) for name, mask in training.masks().items())
    for images, labels in BATCHES:
        losses = grid.losses(images.to(device), labels.to(device), rate=0.1)
        for run, training in enumerate(alone):
            loss = training.step(images, labels, rate=0.1)
            torch.testing.assert_close(losses[run].cpu(), loss, atol=1e-5, rtol=1e-4)
    for run, training in enumerate(alone):
        torch.testing.assert_close(grid.scores[run].cpu(), training.scores, atol=1e-5, rtol=1e-4)
        with torch.no_grad():
            outputs = training.network(BATCHES[0][0])
        torch.testing.assert_close(grid.outputs(BATCHES[0][0].to(device))[run].cpu(), outputs, atol=1e-4, rtol=1e-3)


def test_a_copy_of_the_state_is_a_checkpoint() -> None:
    through, first, resumed = (
        ScoreGrid([network(RELU, density, 1) for density in DENSITIES], MOMENTUM, DECAY, "cpu", compiled=False)
        for _ in range(3)
    )
    for batch in BATCHES:
        through.step(*batch, rate=0.1)
    for batch in BATCHES[:2]:
        first.step(*batch, rate=0.1)
    resumed.load(first.state())
    for batch in BATCHES[2:]:
        resumed.step(*batch, rate=0.1)
    assert torch.equal(resumed.scores, through.scores)
    assert torch.equal(resumed.velocity, through.velocity)


def test_networks_are_left_alone() -> None:
    networks = [network(LINEAR, density, 1) for density in DENSITIES]
    before = [copy.deepcopy(one.state_dict()) for one in networks]
    grid = ScoreGrid(networks, MOMENTUM, DECAY, "cpu", compiled=False)
    grid.step(*BATCHES[0], rate=0.1)
    for one, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
        assert all(layer.held is None for layer in masked_layers(one))


def test_grids_that_cannot_be_are_refused() -> None:
    lenet5 = LeNet5(hidden=(12,), outputs=10, redundancy=0, relu=False, biases=False)
    scopes = [network(LINEAR, 0.5, 1, scope) for scope in ("layer", "global")]
    biases = [network(PLAIN, 0.5, seed) for seed in (1, 2)]
    biases[1].get_buffer("fc1.bias").zero_()
    for networks, words in (([network(lenet5, 0.5, 1)], "one by one"), (scopes, "one scope"), (biases, "equal biases")):
        with pytest.raises(ConfigError, match=words):
            ScoreGrid(networks, MOMENTUM, DECAY, "cpu", compiled=False)
