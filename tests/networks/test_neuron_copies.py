"""Networks with copies of their neurons: residual blocks by hand, copy by copy, and what cannot have copies."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import Convolutions
from torch import nn

from lth_runner.core.errors import ConfigError
from lth_runner.networks.copy_flow import copy_flow
from lth_runner.networks.folding import BatchNormFolded
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import Architecture, filled, tensors_of
from lth_runner.networks.neuron_copies import NeuronCopies
from lth_runner.networks.resnet import ResNet

F = nn.functional
COPIES = 3


class Residual(nn.Module):
    """A block with an identity, one with a 1x1 convolution of stride 2 beside it, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3, padding=1)
        self.a1, self.a2 = (nn.Conv2d(3, 3, 3, padding=1, bias=bias) for bias in (True, False))
        self.b1, self.b2 = nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.Conv2d(4, 4, 3, padding=1)
        self.side = nn.Conv2d(3, 4, 1, stride=2)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.stem(x))
        h = torch.relu(h + self.a2(torch.relu(self.a1(h))))
        h = torch.relu(self.side(h) + self.b2(torch.relu(self.b1(h))))
        return self.head(h.mean((2, 3)))


def residual(seed: int = 0) -> tuple[Instance, dict[str, np.ndarray]]:
    torch.manual_seed(seed)
    module = Residual().double()
    return Instance.of(module), {name: tensor.detach().numpy() for name, tensor in tensors_of(module).items()}


def exact(network: NeuronCopies, target: Mapping[str, np.ndarray], noise: float, seed: int) -> dict[str, np.ndarray]:
    """Dense weights with which every copy stands for its neuron but for errors of this size.

    The weights of a sum are random, all but their sum: only what stands for a whole weight is near to it.
    """
    rng, found = np.random.default_rng(seed), {}
    for layer in network.layers:
        weight, behind = target[layer.weight], network.copies_behind(layer)
        if layer.bias:
            constant = np.zeros((len(weight), 1, *layer.kernel))
            constant[(slice(None), 0, *layer.center)] = target[layer.bias]
            weight = np.concatenate((weight, constant), axis=1)
        outputs, coordinates, *kernel = weight.shape
        weight = np.tile(weight, (behind, 1, *[1] * len(kernel)))
        weight = weight + noise * rng.uniform(-1, 1, weight.shape) * (weight != 0)
        if layer in network.first:
            split = np.kron(np.eye(coordinates), [[1.0], [-1.0]]).reshape(
                2 * coordinates, coordinates, *[1] * len(kernel)
            )
            found[f"{layer.name}.split.weight"] = split
            found[f"{layer.name}.sum.weight"] = np.stack((weight, -weight), axis=2).reshape(len(weight), -1, *kernel)
            continue
        scale, constant = network.factors(layer)
        weight[:, : layer.inputs] /= scale
        weight[:, layer.inputs :] /= constant
        parts = 0.2 * rng.normal(size=(len(weight), network.copies, coordinates, *kernel)) * (weight != 0)[:, None]
        parts += (weight - parts.sum(axis=1))[:, None] / network.copies
        found[f"{layer.name}.sum.weight"] = parts.reshape(behind * outputs, -1, *kernel)
    return found


def copied(target: Architecture, **changes: Any) -> NeuronCopies:
    return NeuronCopies(target=target, **{"n": 1, "copies": COPIES, "twin": True, **changes})


@pytest.mark.parametrize("shortcut", ["projection", "padding"])
def test_copies_that_agree_compute_a_residual_network_exactly(shortcut: str) -> None:
    original = ResNet(channels=2, width=3, blocks=2, outputs=4, shortcut=shortcut)
    folded = BatchNormFolded(original=original)
    rng = np.random.default_rng(0)
    target = {name: rng.normal(0, 0.4, tensor.shape) for name, tensor in tensors_of(folded.module()).items()}
    network = copied(folded, scales={"stage1.0.conv1.weight": 0.25, "stage1.0.conv1.bias": 2.0, "fc.weight": 3.0})
    x = torch.from_numpy(rng.normal(size=(3, 2, 8, 8)))
    wanted = filled(folded, target, torch.float64)(x)
    found = filled(network, exact(network, target, 0.0, 1), torch.float64)(x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9 * float(wanted.abs().max()))


def test_a_residual_network_is_what_loops_over_its_copies_give_and_errors_add_up() -> None:
    """Copies by hand: each is a sum over those before; a skip adds copy to copy. Beside it, how far each may be off."""
    target, weights = residual()
    network = copied(target)
    dense = exact(network, weights, 0.01, 1)
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 2, 6, 6)))
    module: Any = filled(target, weights, torch.float64)

    def layer(name: str, copies: list[Any], far: list[Any], h: torch.Tensor) -> tuple[list[Any], list[Any]]:
        """Copies behind a layer, and a bound on |copy - neuron| from one on those before."""
        part, total = module.get_submodule(name), torch.from_numpy(dense[f"{name}.sum.weight"])
        apply = _apply(part)
        parts = total.reshape(
            -1, part.weight.shape[0], COPIES, part.weight.shape[1] + (part.bias is not None), *total.shape[2:]
        )
        found, bounds = [], []
        for rows in parts:  # (outputs, copies, coordinates, *kernel)
            split = [(rows[:, c, : part.weight.shape[1]], rows[:, c, part.weight.shape[1] :]) for c in range(COPIES)]
            error = sum(w for w, _ in split) - part.weight
            ones = torch.ones_like(h[:, :1])
            wrong = sum((apply(ones, b) for _, b in split if b.shape[1]), torch.zeros(())) - _bias(part, h)
            found.append(sum(apply(g, w) for g, (w, _) in zip(copies, split, strict=True)) + wrong + _bias(part, h))
            bounds.append(
                sum(apply(d, w.abs()) for d, (w, _) in zip(far, split, strict=True))
                + apply(h.abs(), error.abs())
                + wrong.abs()
            )
        return found, bounds

    def relu(copies: list[Any]) -> list[Any]:
        return [g.clamp_min(0) for g in copies]

    def add(left: list[Any], right: list[Any]) -> list[Any]:
        return [a + b for a, b in zip(left, right, strict=True)]

    total = torch.from_numpy(dense["stem.sum.weight"])[:, ::2].reshape(COPIES, 3, 3, 3, 3)  # the halves for x > 0
    with_constant = torch.cat((x, torch.ones_like(x[:, :1])), dim=1)
    h = torch.relu(module.stem(x))
    g = relu([F.conv2d(with_constant, own, padding=1) for own in total])
    d = [(own - h).abs() for own in g]
    inner = torch.relu(module.a1(h))
    f, e = layer("a1", g, d, h)
    f, e = layer("a2", relu(f), e, inner)
    g, d, h = relu(add(g, f)), add(d, e), torch.relu(h + module.a2(inner))
    inner = torch.relu(module.b1(h))
    f, e = layer("b1", g, d, h)
    f, e = layer("b2", relu(f), e, inner)
    side, apart = layer("side", g, d, h)
    g, d, h = relu(add(side, f)), add(apart, e), torch.relu(module.side(h) + module.b2(inner))
    for own, bound in zip(g, d, strict=True):
        assert bool(((own - h).abs() <= bound + 1e-12).all())
    (y,), (bound,) = layer("head", [own.mean((2, 3)) for own in g], [own.mean((2, 3)) for own in d], h.mean((2, 3)))
    found = filled(network, dense, torch.float64)(x)
    torch.testing.assert_close(found, y, rtol=0, atol=1e-12 * float(y.abs().max()))
    assert bool(((found - module(x)).abs() <= bound + 1e-12).all())
    assert float((found - module(x)).abs().max()) > 1e-4, "the copies of a neuron are not alike"


def _apply(part: Any) -> Any:
    if isinstance(part, nn.Linear):
        return F.linear
    return lambda x, weight: F.conv2d(x, weight, stride=part.stride, padding=part.padding)


def _bias(part: Any, h: torch.Tensor) -> torch.Tensor:
    if part.bias is None:
        return torch.zeros((), dtype=h.dtype)
    return part.bias if isinstance(part, nn.Linear) else part.bias[:, None, None]


def test_only_layers_at_the_inputs_become_two_and_only_those_at_the_outputs_have_one_copy() -> None:
    target, _ = residual()
    network = copied(target)
    assert [layer.name for layer in network.first] == ["stem"]
    assert {layer.name: network.copies_behind(layer) for layer in network.layers} == {
        "stem": 3, "a1": 3, "a2": 3, "b1": 3, "b2": 3, "side": 3, "head": 1,
    }  # fmt: skip


class Between(nn.Module):
    """Two layers and what a test puts between and around them."""

    def __init__(self, step: Any, *parts: nn.Module) -> None:
        super().__init__()
        self.one, self.two, self.parts = nn.Linear(4, 4), nn.Linear(4, 4), nn.ModuleList(parts)
        self.step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.step(self, x)


REFUSED: dict[str, tuple[Any, str]] = {
    "inputs added": (lambda m, x: m.two(x + m.one(x)), "add takes hidden neurons together with inputs or outputs"),
    "hidden outputs": (lambda m, x: (h := m.one(x), m.two(h)), "an output takes hidden neurons together"),
    "a skip to the outputs": (lambda m, x: m.two(h := m.one(x)) + h, "add takes hidden neurons together"),
    "a softmax": (lambda m, x: m.two(m.one(x).softmax(1)), "takes neurons one by one, and softmax does not"),
    "a mean of neurons": (lambda m, x: m.two(m.one(x).mean(1, keepdim=True)), "and mean does not"),
    "two places": (lambda m, x: m.two(torch.relu(m.one(m.one(x)))), "one is called at several"),
    "control flow": (lambda m, x: m.two(m.one(x)) if x.sum() > 0 else x, "does not show where its tensors go"),
    "a layer left out": (lambda m, x: m.one(x), "layers that are called, and two is not"),
    "a weight read": (lambda m, x: m.two(m.one(x)) * m.two.bias, "plain convolutions, and two.bias is neither"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_have_copies_is_refused_in_one_sentence(case: str) -> None:
    step, reason = REFUSED[case]
    with pytest.raises(ConfigError, match=reason) as refused:
        copy_flow(Instance.of(Between(step)), ["one", "two"])
    assert "\n" not in str(refused.value) and "take method=pensia" in str(refused.value)


def test_other_layers_with_weights_are_refused() -> None:
    for parts in ([nn.LayerNorm(4)], [nn.PReLU()], [nn.Conv2d(4, 4, 1, groups=2)]):
        module = Between(lambda m, x: m.two(m.parts[0](m.one(x))), *parts)
        with pytest.raises(ConfigError, match=r"and parts\.0 is neither: take method=pensia"):
            copied(Instance.of(module))
    with pytest.raises(ConfigError, match="and grouped is neither"):
        copied(Instance.of(Convolutions(4)))


def test_scales_are_of_layers_between_copies() -> None:
    target, _ = residual()
    for scales, reason in (
        ({"stem.weight": 2.0}, "scales must be one of"),
        ({"head.weight": 0.0}, "scales.head.weight"),
    ):
        with pytest.raises(ConfigError, match=reason):
            copied(target, scales=scales)
