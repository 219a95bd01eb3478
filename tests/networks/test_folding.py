"""Batch norms are folded where the folded network computes what the module does, and stay where it would not."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from lth_runner.networks.folding import BatchNormFolded, batch_norms
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import filled, tensors_of


class Convolution(nn.Module):
    """A convolution and two norms; a forward pass of a test's own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.m = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)


class TwoCallsTwoNorms(Convolution):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.m(self.a(self.n(self.a(x)).relu()))


class TwoCallsOneNorm(Convolution):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(self.n(self.a(x)).relu())


class OneNormTwice(Convolution):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.n(self.b(self.n(self.a(x)).relu()))


class OutputUsedTwice(Convolution):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        return self.n(y) + y


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Linear(6, 6), nn.BatchNorm1d(6)


class ReadsTheWeight(Flat):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.n(self.a(x.flatten(1))), self.a.weight.t())


class ReadsTheNorm(Flat):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.n(self.a(x.flatten(1))) * self.n.weight + self.n.running_mean


class WorksOutTheWeight(Flat):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = next(iter(self.a.parameters())).sum()
        return self.n(self.a(x.flatten(1))) * scale


class Tied(Flat):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.n(self.a(x.flatten(1))))


@dataclass(frozen=True)
class Case:
    module: nn.Module
    shape: tuple[int, ...]
    folded: int


def tokens(channels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(channels))


CASES = {
    "two calls, two norms": Case(TwoCallsTwoNorms(), (3, 5, 5), 0),
    "two calls, one norm": Case(TwoCallsOneNorm(), (3, 5, 5), 0),
    "one norm twice": Case(OneNormTwice(), (3, 5, 5), 0),
    "output used twice": Case(OutputUsedTwice(), (3, 5, 5), 0),
    "weight read": Case(ReadsTheWeight(), (6,), 0),
    "norm read": Case(ReadsTheNorm(), (6,), 0),
    "weight worked out": Case(WorksOutTheWeight(), (6,), 0),
    "tied": Case(Tied(), (6,), 0),
    "as many tokens as features": Case(tokens(8), (8, 5), 0),
    "fewer tokens than features": Case(tokens(4), (4, 5), 0),
    "plain convolution": Case(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (3, 5, 5), 1),
    "plain linear": Case(nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.BatchNorm1d(4)), (2, 3), 1),
    "without affine": Case(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), (3, 5, 5), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_folded_network_computes_the_module(name: str) -> None:
    case = CASES[name]
    generator = torch.Generator().manual_seed(0)
    module = case.module.double().eval()
    with torch.no_grad():
        for key, tensor in tensors_of(module).items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if "running_var" in key else -0.3))
    state = {key: tensor.detach().numpy().copy() for key, tensor in tensors_of(module).items()}
    network = BatchNormFolded(original=Instance.of(module))
    assert len(batch_norms(network.original)) == case.folded
    x = torch.randn(4, *case.shape, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(filled(network, network.folded(state), torch.float64)(x), module(x))
