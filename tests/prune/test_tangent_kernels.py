"""The tangent kernel against Jacobians that are worked out one output at a time, and the laws that it obeys."""

from collections.abc import Callable

import pytest
import torch
from small_networks import SMALL, inputs
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrize

from lth_runner.core.errors import ConfigError
from lth_runner.networks.mlp import Mlp
from lth_runner.prune.tangent_kernels import Jacobians, Kernel, LayerProducts, Tensors, halves, kernel_of

pytestmark = pytest.mark.usefixtures("one_thread")

DEEP = [nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 5, bias=False), nn.SiLU(), nn.Dropout(), nn.Linear(5, 3)]
ROWS: dict[str, Callable[[], nn.Module]] = {
    "biases": lambda: Mlp(inputs=9, hidden=[7, 5], outputs=3, biases=True).module(),
    "no biases": lambda: Mlp(inputs=9, hidden=[7, 5], outputs=3, biases=False).module(),
    "linear": lambda: Mlp(inputs=9, hidden=[], outputs=3, biases=True).module(),
    "others": lambda: nn.Sequential(nn.Flatten(), nn.Sigmoid(), *DEEP),
    "two behind": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(9, 6), nn.Tanh(), nn.GELU(), nn.Linear(6, 3), nn.Tanh()
    ),
}


def convolutional() -> nn.Module:
    parts = [
        nn.Conv2d(1, 3, 2, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 3),
    ]
    return nn.Sequential(*parts)


def made(build: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, dict[str, torch.Tensor], torch.Tensor]:
    """A module in float64, parameters for it and five samples."""
    torch.manual_seed(seed)
    module = build().double().eval()
    parameters = {n: torch.randn_like(p, requires_grad=True) for n, p in module.named_parameters()}
    return module, parameters, torch.randn(5, 1, 3, 3, dtype=torch.float64)


def chosen(parameters: Tensors) -> dict[str, torch.Tensor]:
    return {n: torch.rand_like(p) < 0.4 for n, p in parameters.items() if p.ndim > 1}


def jacobian(module: nn.Module, parameters: Tensors, x: torch.Tensor, masks: Tensors | None = None) -> torch.Tensor:
    """(N, C, all parameters), one row at a time; columns of pruned weights are 0."""
    outputs = functional_call(module, dict(parameters), (x,))
    rows = []
    for output in outputs.flatten():
        found = torch.autograd.grad(output, list(parameters.values()), retain_graph=True, materialize_grads=True)
        kept = [g * masks[n] if masks and n in masks else g for n, g in zip(parameters, found, strict=True)]
        rows.append(torch.cat([g.flatten() for g in kept]))
    return torch.stack(rows).view(*outputs.shape, -1)


def check(module: nn.Module, kernel: Kernel, parameters: Tensors, x: torch.Tensor, masks: Tensors | None) -> None:
    first, second = halves(len(x))
    rows = jacobian(module, parameters, x, masks)
    outputs, found = kernel(parameters, x, masks)
    torch.testing.assert_close(outputs, functional_call(module, dict(parameters), (x,)))
    torch.testing.assert_close(found, torch.einsum("xap,ybp->xayb", rows[first], rows[second]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("way", [LayerProducts, Jacobians])
@pytest.mark.parametrize("row", ROWS)
def test_both_ways_give_the_kernel_of_explicit_jacobians(row: str, way: type, masked: bool) -> None:
    module, parameters, x = made(ROWS[row])
    kernel = way.of(module, x)
    assert type(kernel) is way
    check(module, kernel, parameters, x, chosen(parameters) if masked else None)


@pytest.mark.parametrize("masked", [False, True])
def test_a_convolutional_network_has_the_kernel_of_explicit_jacobians(masked: bool) -> None:
    module, parameters, x = made(convolutional)
    kernel = kernel_of(module, x)
    assert isinstance(kernel, Jacobians)
    check(module, kernel, parameters, x, chosen(parameters) if masked else None)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("row", [*ROWS, "convolutional"])
def test_its_gradient_is_that_of_differences(row: str, masked: bool) -> None:
    """Of a random sum of its entries and the outputs, along a random direction."""
    module, parameters, x = made({**ROWS, "convolutional": convolutional}[row])
    kernel, masks = kernel_of(module, x), chosen(parameters) if masked else None
    along = {name: torch.randn_like(p) for name, p in parameters.items()}

    def value(step: float) -> torch.Tensor:
        outputs, found = kernel({name: p + step * along[name] for name, p in parameters.items()}, x, masks)
        generator = torch.Generator().manual_seed(1)
        drawn = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in (outputs, found)]
        return (drawn[0] * outputs).sum() + (drawn[1] * found).sum()

    slopes = torch.autograd.grad(value(0.0), list(parameters.values()), materialize_grads=True)
    wanted = sum((slope * way).sum() for slope, way in zip(slopes, along.values(), strict=True))
    measured = (value(1e-6) - value(-1e-6)) / 2e-6
    torch.testing.assert_close(measured, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("row", [*ROWS, "convolutional"])
def test_it_is_symmetric_and_positive_semidefinite(row: str, masked: bool) -> None:
    module, parameters, x = made({**ROWS, "convolutional": convolutional}[row])
    masks = chosen(parameters) if masked else None
    _, found = kernel_of(module, x)(parameters, torch.cat([x, x]), masks)
    matrix = found.detach().flatten(2).flatten(0, 1)
    torch.testing.assert_close(matrix, matrix.T)
    values = torch.linalg.eigvalsh(matrix)
    assert float(values.min()) > -1e-10 * float(values.max())
    assert float(values.max()) > 0


@pytest.mark.parametrize("masked", [False, True])
def test_the_order_of_hidden_neurons_has_no_say(masked: bool) -> None:
    module, parameters, x = made(ROWS["biases"])
    masks, order = chosen(parameters), torch.randperm(7)

    def moved(tensors: Tensors) -> dict[str, torch.Tensor]:
        first = {name: t[order] for name, t in tensors.items() if name.startswith("fc1")}
        return {**tensors, **first, "fc2.weight": tensors["fc2.weight"][:, order]}

    kernel = kernel_of(module, x)
    _, found = kernel(parameters, x, masks if masked else None)
    _, again = kernel(moved(parameters), x, moved(masks) if masked else None)
    torch.testing.assert_close(again, found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_it_scales_with_inputs_and_weights(masked: bool) -> None:
    """A ReLU network without biases: by 2^2 with the inputs, by 2^(2 (3 - 1)) with its three layers, to the bit."""
    module, parameters, x = made(ROWS["no biases"])
    masks, kernel = chosen(parameters) if masked else None, kernel_of(module, x)
    _, found = kernel(parameters, x, masks)
    assert torch.equal(kernel(parameters, 2 * x, masks)[1], 4 * found)
    assert torch.equal(kernel({n: 2 * p for n, p in parameters.items()}, x, masks)[1], 16 * found)


@pytest.mark.parametrize("row", [*ROWS, "convolutional"])
def test_masks_that_prune_nothing_change_nothing(row: str) -> None:
    module, parameters, x = made({**ROWS, "convolutional": convolutional}[row])
    whole = {name: torch.ones_like(p, dtype=torch.bool) for name, p in parameters.items() if p.ndim > 1}
    kernel = kernel_of(module, x)
    torch.testing.assert_close(kernel(parameters, x, whole)[1], kernel(parameters, x, None)[1], rtol=1e-12, atol=1e-12)


def test_the_kernel_of_kept_weights_lacks_what_they_do_not_keep() -> None:
    """Those of a mask and those of its opposite, each with the biases, are all weights and the biases once more."""
    module, parameters, x = made(ROWS["biases"])
    masks, kernel = chosen(parameters), kernel_of(module, x)
    parts = [kernel(parameters, x, each)[1] for each in (masks, {name: ~mask for name, mask in masks.items()})]
    none = kernel(parameters, x, {name: torch.zeros_like(mask) for name, mask in masks.items()})[1]
    torch.testing.assert_close(parts[0] + parts[1] - none, kernel(parameters, x, None)[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("count", "wanted"), [(1, [[0], [0]]), (4, [[0, 1], [2, 3]]), (5, [[0, 1, 2], [2, 3, 4]])])
def test_halves_are_equal_and_lack_nothing(count: int, wanted: list[list[int]]) -> None:
    assert [list(range(count))[half] for half in halves(count)] == wanted


class Grown(nn.Sequential):
    """A sequence with a forward pass of its own."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


def tied() -> nn.Module:
    linear = nn.Linear(9, 9)
    return nn.Sequential(nn.Flatten(), linear, nn.Tanh(), linear)


def doubled(part: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
    del part, args
    return 2 * output


def hooked() -> nn.Module:
    module = ROWS["biases"]()
    module.get_submodule("fc1").register_forward_hook(doubled)
    return module


def pieces(*parts: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*parts)


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "tied": tied,
    "hooked": hooked,
    "forward": lambda: Grown(*ROWS["biases"]().children()),
    "more axes": pieces(nn.Linear(3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)),
    "in place": pieces(nn.Flatten(), nn.Linear(9, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)),
    "norm": pieces(nn.Flatten(), nn.Linear(9, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
    "reparametrized": pieces(nn.Flatten(), parametrize.register_parametrization(nn.Linear(9, 3), "weight", nn.Tanh())),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_plain_row_is_left_to_jacobians(other: str) -> None:
    module, parameters, x = made(OTHERS[other])
    kernel = kernel_of(module, x)
    assert isinstance(kernel, Jacobians)
    check(module, kernel, parameters, x, None)


@pytest.mark.parametrize("name", SMALL)
def test_every_kind_of_network_has_a_kernel(name: str) -> None:
    small = SMALL[name]
    module, x = small.make().module().eval(), inputs(small, 3)
    outputs, found = kernel_of(module, x)(dict(module.named_parameters()), x, None)
    assert found.shape == (2, outputs.shape[1], 2, outputs.shape[1])
    found.square().sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in module.parameters())


class Choosy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.linear(x.flatten(1))
        return found if bool(found.sum() > 0) else -found


def test_a_network_that_looks_at_its_numbers_is_refused() -> None:
    module, _, x = made(Choosy)
    with pytest.raises(
        ConfigError, match="cannot find the tangent kernel of Choosy, so choose another method"
    ) as refused:
        kernel_of(module, x)
    assert "\n" not in str(refused.value)
