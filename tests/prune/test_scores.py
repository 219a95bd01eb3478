"""The scores of pruning at initialisation against other ways to find the same numbers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import SMALL, dataset
from torch import nn
from torch.nn.functional import cross_entropy

from lth_runner.config.compose import method_of
from lth_runner.data.interface import labels, select
from lth_runner.networks.conv import Conv
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.prune.at_init import Samples
from lth_runner.prune.selection import counts, masks

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("fc4", "convolutions", "language", "tied_layers")  # with batch norm, attention, layer norm, tied tensors


def network(kind: str) -> tuple[Any, list[str]]:
    """A small module in float64 and training mode with its prunable weights' names."""
    torch.manual_seed(0)
    architecture = SMALL[kind].make()
    names = [name for name, shape in parameter_shapes(architecture).items() if len(shape) > 1]
    return architecture.module().double().train(), names


def samples(kind: str) -> Samples:
    data = dataset(SMALL[kind])
    inputs: Any = data.train_inputs
    inputs = inputs.double() if isinstance(inputs, torch.Tensor) else inputs
    return Samples(part=(inputs, labels(data.train_labels)), order=torch.arange(31, -1, -1))


LOOKED_AT = 12  # weights of each tensor, spread over it
STEP = 1e-6


def assert_slopes(module: nn.Module, found: Mapping[str, torch.Tensor], value: Any, *, signs: bool) -> None:
    """Scores are, by central differences, how `value()` changes with a factor on each weight, at 1."""
    parameters = dict(module.named_parameters())
    for name, scores in found.items():
        flat = parameters[name].detach().view(-1)
        places = torch.arange(0, len(flat), max(1, len(flat) // LOOKED_AT)).tolist()
        differences = []
        for i in places:
            weight, ends = float(flat[i]), []
            for factor in (1 + STEP, 1 - STEP):
                flat[i] = weight * factor
                ends.append(float(value()))
            flat[i] = weight
            differences.append((ends[0] - ends[1]) / (2 * STEP))
        expected = torch.tensor(differences, dtype=torch.float64)
        expected = expected if signs else expected.abs()
        torch.testing.assert_close(scores.detach().view(-1)[places], expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_snip_is_the_slope_of_the_loss_in_a_factor_on_each_weight(kind: str) -> None:
    module, names = network(kind)
    given = samples(kind)
    inputs, truth = select(given.part[0], given.order[:7]), given.part[1][given.order[:7]]
    found = method_of("snip", {"batch": 7}).scores(module, names, given)
    assert_slopes(module, found, lambda: cross_entropy(module(inputs), truth).detach(), signs=False)


def loss_of(module: Any, given: Samples, per_class: int) -> Any:
    """The loss at temperature 3 of the first images of each class, picked by hand."""
    taken: dict[int, list[int]] = {}
    for i in given.order.tolist():
        taken.setdefault(int(given.part[1][i]), []).append(i)
    chosen = torch.tensor([i for _, of_class in sorted(taken.items()) for i in of_class[:per_class]])
    inputs, truth = select(given.part[0], chosen), given.part[1][chosen]
    return lambda: cross_entropy(module(inputs) / 3, truth)


@pytest.mark.parametrize("kind", KINDS)
def test_grasp_is_half_the_slope_of_the_gradients_square_in_a_factor_on_each_weight(kind: str) -> None:
    module, names = network(kind)
    given, weights = samples(kind), [dict(module.named_parameters())[name] for name in names]
    loss = loss_of(module, given, 2)
    settings = {"samples_per_class": 2, "temperature": 3}

    def square() -> torch.Tensor:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return sum((part**2).sum() for part in torch.autograd.grad(loss(), weights))  # type: ignore[return-value]

    found = method_of("grasp", settings).scores(module, names, given)
    unsigned = method_of("grasp", {**settings, "absolute": True}).scores(module, names, given)
    assert_slopes(module, {name: 2 * score for name, score in found.items()}, square, signs=True)
    for name in names:
        assert torch.equal(unsigned[name], found[name].abs())
    assert any(bool((found[name] < 0).any()) for name in names)


def test_grasp_is_the_weight_times_the_hessian_times_the_gradient() -> None:
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    names, start = ["0.weight", "2.weight"], torch.cat([module[0].weight.flatten(), module[2].weight.flatten()])
    x, truth = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 3

    def loss(flat: torch.Tensor) -> torch.Tensor:
        own = {"0.weight": flat[:20].view(4, 5), "2.weight": flat[20:].view(3, 4)}
        return cross_entropy(torch.func.functional_call(module, own, (x,)) / 200, truth)

    hessian: Any = torch.autograd.functional.hessian(loss, start.detach())
    gradient = torch.func.grad(loss)(start.detach())
    expected = start.detach() * (hessian @ gradient)
    found = method_of("grasp", {}).scores(module, names, Samples(part=(x, truth), order=torch.arange(9)))
    torch.testing.assert_close(torch.cat([found[name].flatten() for name in names]), expected, rtol=1e-9, atol=0)


def flow(module: nn.Module, names: Sequence[str], inputs: Any) -> dict[str, torch.Tensor]:
    part = (inputs, torch.zeros(len(inputs), dtype=torch.int64))
    return dict(method_of("synflow", {}).scores(module.float(), names, Samples(part=part, order=torch.arange(1))))


def test_synflow_of_two_layers_is_the_product_of_absolute_values() -> None:
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 3, bias=False))
    first, second = (module[i].weight.detach().double().abs() for i in (0, 2))
    found = flow(module, ["0.weight", "2.weight"], torch.randn(6, 5))
    torch.testing.assert_close(found["0.weight"], first * second.sum(0)[:, None])
    torch.testing.assert_close(found["2.weight"], second * first.sum(1))


CONSERVING: dict[str, Any] = {
    "mlp": FullyConnected(inputs=36, hidden=12, outputs=10, depth=4, biases=True),
    "conv": Conv(channels=1, side=8, convolutions=((4, 5), (6,)), hidden=(7,), outputs=4, biases=True),
}


@pytest.mark.parametrize("kind", CONSERVING)
def test_synflow_is_conserved_at_every_hidden_neuron_and_from_layer_to_layer(kind: str) -> None:
    """Biases are 0 at the start, so that the law holds with them."""
    torch.manual_seed(0)
    module = CONSERVING[kind].module()
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    names = [name for name, parameter in module.named_parameters() if parameter.ndim > 1]
    found = flow(module, names, torch.rand(2, 1, 8, 8) if kind == "conv" else torch.rand(2, 36))
    for before, after in pairwise(found.values()):
        into = before.flatten(1).sum(1)
        out = after.reshape(len(after), len(into), -1).sum((0, 2))  # of a channel's places together
        torch.testing.assert_close(into, out)
        torch.testing.assert_close(before.sum(), after.sum())


def test_synflow_takes_absolute_values_of_batch_norms_too_and_their_running_statistics() -> None:
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    norm = module[1]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    weight, bias, mean = (tensor.detach().double().abs() for tensor in (norm.weight, norm.bias, norm.running_mean))
    first, second = module[0], module[2].weight.detach().double().abs()
    hidden = first.weight.detach().double().abs().sum(1) + first.bias.detach().double().abs()
    scale = weight / (norm.running_var.double() + norm.eps).sqrt()
    found = flow(module, ["2.weight"], torch.rand(2, 5))["2.weight"]
    torch.testing.assert_close(found, (second * ((hidden - mean) * scale + bias)).abs())


def test_synflow_of_an_embedding_is_that_of_a_linear_layer_on_ones() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 3, bias=False)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(tokens).mean(1))

    torch.manual_seed(0)
    words = Words()
    plain: Any = nn.Sequential(nn.Linear(6, 4, bias=False), nn.Linear(4, 3, bias=False))
    with torch.no_grad():
        plain[0].weight.copy_(words.embed.weight.T)
        plain[1].weight.copy_(words.head.weight)
    expected = flow(plain, ["0.weight", "1.weight"], torch.rand(2, 6))
    found = flow(words, ["embed.weight", "head.weight"], torch.tensor([[5, 0, 2]]))
    torch.testing.assert_close(found["embed.weight"], expected["0.weight"].T)
    torch.testing.assert_close(found["head.weight"], expected["1.weight"])


def test_synflow_neither_overflows_nor_vanishes_where_float32_does() -> None:
    torch.manual_seed(0)
    for scale in (1e-4, 1e4):
        layers: Any = [nn.Linear(8, 8, bias=False) for _ in range(16)]
        module = nn.Sequential(*layers)
        for layer in layers:
            nn.init.uniform_(layer.weight, scale / 2, scale)
        found = flow(module, ["0.weight", "15.weight"], torch.rand(2, 8))
        sums = [float(score.detach().sum()) for score in found.values()]
        assert 0 < sums[0] < float("inf")
        assert sums[0] == pytest.approx(sums[1])


def empty_layers(name: str, kept: int, settings: dict[str, Any]) -> int:
    """Of a deep network pruned to so many weights."""
    torch.manual_seed(0)
    architecture = FullyConnected(inputs=36, hidden=16, outputs=10, depth=7, biases=False)
    module = architecture.module()
    shapes = parameter_shapes(architecture)
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    chance = torch.Generator().manual_seed(1)
    part = (torch.rand(50, 36, generator=chance), torch.arange(50) % 10)
    found = {key: np.ones(shape, dtype=bool) for key, shape in shapes.items()}
    built = method_of(name, settings)
    for density in built.schedule(kept / total):
        pruned = architecture.module()
        pruned.load_state_dict({key: w * torch.from_numpy(found[key]) for key, w in module.state_dict().items()})
        scores = built.scores(pruned, list(shapes), Samples(part=part, order=torch.arange(50)))
        arrays = {key: score.detach().numpy() for key, score in scores.items()}
        found = masks(arrays, counts(shapes, density, "global"), found)
    assert sum(int(mask.sum()) for mask in found.values()) == kept
    return sum(not mask.any() for mask in found.values())


@pytest.mark.slow
def test_synflow_empties_no_layer_down_to_one_weight_each_where_snip_does() -> None:
    for kept in (7, 10, 50):
        assert empty_layers("synflow", kept, {}) == 0
    assert empty_layers("synflow", 6, {}) == 1, "there are seven layers"
    assert empty_layers("snip", 20, {}) > 0
    assert empty_layers("magnitude_at_init", 20, {}) > 0
    assert empty_layers("synflow", 20, {"rounds": 1}) > 0, "one round is not enough"
