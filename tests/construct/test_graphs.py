"""Networks whose layers are tied, shared or read in other ways than by calling them, against the modules themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from plain_choice import COPIES, PLAIN_PATHS
from recorders import Memory
from torch import nn

from lth_runner.construct.burkholz import Burkholz
from lth_runner.construct.pensia import Pensia
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.approximation import weight_errors
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import tensors_of
from lth_runner.problem import Method, Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise

SETTINGS: dict[str, Any] = {
    "objective": "closest", "epsilon": 0.01, "c": 3, "signs": "as_drawn", "max_paths": 24, "solver": MeetInMiddle(),
    "distribution": Uniform(low=-1.0, high=1.0),
}  # fmt: skip
PENSIA = Pensia(**PLAIN_PATHS, n=32, halves="both", gains="fitted", stored=[], **SETTINGS)
BURKHOLZ = Burkholz(n=40, twin="always", **COPIES, **SETTINGS)


def problem(module: nn.Module) -> Problem:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)
    target = {name: tensor.detach().double().numpy() for name, tensor in tensors_of(module.eval()).items()}
    return Problem(network=Instance.of(module), target=target, data=None, streams=Streams(0), device="cpu")


def difference(method: Method, module: nn.Module, *shape: int) -> float:
    """Of the pruned network's outputs from the module's, relative to the largest of these."""
    found = materialise(method.find(problem(module), Memory()).ticket).module()
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
    wanted = module(x).detach()
    return float((found(x) - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize(
    ("method", "layer"),
    [(PENSIA, nn.Conv2d(2, 3, 4, stride=2, padding=2)), (PENSIA, nn.Conv2d(2, 3, 2, padding=1))],
)
def test_biases_of_even_kernels_reach_every_output(method: Method, layer: nn.Module) -> None:
    assert difference(method, nn.Sequential(layer), 2, 8, 8) < 0.01


class Tied(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 6, bias=False))
        self[2].weight = self[0].weight


@pytest.mark.slow
@pytest.mark.parametrize("method", [PENSIA, BURKHOLZ], ids=["pensia", "burkholz"])
@pytest.mark.parametrize("layer", ["0", "2"])
def test_every_layer_of_tied_weights_is_read_back(method: Method, layer: str) -> None:
    posed = problem(Tied())
    assert posed.target is not None
    ticket = method.find(posed, Memory()).ticket
    assert weight_errors(materialise(ticket).readings, posed.target, 0.01)["weight_error_max"] < 0.01
    name = f"{layer}.sum.weight"
    other = Mask.random(ticket.masks[name].shape, ticket.masks[name].kept(), np.random.default_rng(0))
    altered = replace(ticket, masks={**ticket.masks, name: other})
    assert weight_errors(materialise(altered).readings, posed.target, 0.01)["weight_error_max"] > 0.1


class TwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 4)
        self.layers = nn.ModuleList([self.a, self.b])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[1](self.layers[0](x).relu() + self.a(x))


class NormTwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)
        self.layers = nn.ModuleList([self.a, self.n])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[1](self.layers[0](x))


class Repeated(nn.Sequential):
    def __init__(self) -> None:
        layer = nn.Linear(6, 6)
        super().__init__(layer, nn.ReLU(), layer)


class ReadsTheWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(nn.functional.linear(self.a(x).relu(), self.a.weight.t()))


class Attention(nn.Module):
    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.values = changes.get("vdim", 8)
        self.attention, self.a = nn.MultiheadAttention(8, 2, batch_first=True, **changes), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(self.attention(x, x, x[..., : self.values])[0])


class Parametrized(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (TwoNames(), (6,)),
        (NormTwoNames(), (2, 4, 4)),
        (Repeated(), (6,)),
        (ReadsTheWeight(), (6,)),
        (Attention(kdim=8, vdim=4), (3, 8)),
        (Attention(), (3, 8)),
        (Parametrized(), (6,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_pruned_network_computes_the_module(module: nn.Module, shape: tuple[int, ...]) -> None:
    assert difference(PENSIA, module, *shape) < 0.02


def test_a_bare_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="wrap it in torch"):
        PENSIA.find(problem(nn.Linear(6, 3)), Memory())
