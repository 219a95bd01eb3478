"""The line between two networks, where its errors are known."""

import pytest
import torch
from torch import nn

from lth_runner.measure.barrier import Line, lines


def values(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in [*module.named_parameters(), *module.named_buffers()]}


def test_a_barrier_is_the_largest_error_less_the_mean_of_the_ends() -> None:
    line = Line(errors=(0.1, 0.5, 0.3, 0.2))
    assert line.ends == pytest.approx(0.15) and line.barrier == pytest.approx(0.35)
    assert Line(errors=(0.2, 0.2, 0.2)).barrier == 0


def test_opposite_networks_meet_in_one_that_only_guesses() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(200, 5)
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    first = values(module)
    labels = module(inputs).argmax(1)
    swapped = torch.tensor([1, 0, 2, 3, 4, 5, 6, 7])
    second = {
        "0.weight": first["0.weight"][swapped],
        "0.bias": first["0.bias"][swapped],
        "2.weight": first["2.weight"][:, swapped],
        "2.bias": first["2.bias"],
    }
    found = lines(module, first, second, {"all": (inputs, labels)}, 5)["all"]
    assert found.errors[0] == found.errors[-1] == 0, "a permutation of hidden neurons is the same network"
    assert found.errors[1:4] == found.errors[3:0:-1] and found.barrier == found.errors[2] > 0
    opposite = {name: -tensor for name, tensor in first.items()}
    middle = lines(module, first, opposite, {"all": (inputs, labels)}, 3)["all"].errors[1]
    assert middle == pytest.approx(float((labels != 0).float().mean())), "all outputs are 0, and the first class counts"


def test_the_line_of_a_linear_network_has_the_errors_of_its_mixtures() -> None:
    torch.manual_seed(1)
    one, two = nn.Linear(4, 3), nn.Linear(4, 3)
    inputs, labels = torch.randn(300, 4), torch.randint(3, (300,))
    found = lines(nn.Linear(4, 3), values(one), values(two), {"all": (inputs, labels)}, 5)["all"]
    for k, error in enumerate(found.errors):
        outputs = torch.lerp(one(inputs), two(inputs), k / 4)
        assert error == pytest.approx(float((outputs.argmax(1) != labels).float().mean()), abs=1 / 300)


def test_batch_norms_gather_their_statistics_anew() -> None:
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    inputs, labels = torch.randn(500, 4) + 3, torch.randint(3, (500,))
    first = values(module)
    second = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in first.items()}
    spoilt = {name: tensor + 50 if "running_mean" in name else tensor for name, tensor in second.items()}
    parts = {"all": (inputs, labels)}
    honest = lines(module, first, second, parts, 4, inputs)["all"]
    assert honest == lines(module, first, spoilt, parts, 4, inputs)["all"], "statistics between networks are not mixed"
    hidden = module[0](inputs)
    torch.testing.assert_close(module[1].running_mean, hidden.mean(0), rtol=1e-4, atol=1e-4)
    assert module[1].momentum == 0.1
    assert lines(module, first, second, parts, 4)["all"] != lines(module, first, spoilt, parts, 4)["all"]
