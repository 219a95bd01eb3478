"""Masked layers: exact counts, frozen weights, the straight-through gradient, any module by one function."""

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.search.masked import masked, masked_layers, masked_weights, multiply
from lth_runner.search.top_fraction import kept_count

IMAGES = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([3, 1, 4, 1, 5, 9])


def plain(redundancy: int, relu: bool = True) -> torch.nn.Module:
    """A small LeNet-5, convolutions and linear layers, with random weights."""
    module = LeNet5(hidden=(12, 9), outputs=10, redundancy=redundancy, relu=relu, biases=False).module()
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return module


def random_scores(module: torch.nn.Module, distinct: int = 0) -> dict[str, torch.Tensor]:
    """Scores for every weight; `distinct` values only, to have ties."""
    generator = torch.Generator().manual_seed(2)
    scores = {name: torch.randn(value.shape, generator=generator) for name, value in module.named_parameters()}
    return {name: (value * distinct).round() / distinct for name, value in scores.items()} if distinct else scores


@pytest.mark.parametrize("density", [0.0, 0.001, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("distinct", [0, 3])
def test_counts_are_exact_per_layer_and_over_all(density: float, distinct: int) -> None:
    module = plain(redundancy=2)
    scores = random_scores(module, distinct)
    for name, weight in masked_weights(masked(module, scores, density, "layer")).items():
        assert weight.mask().sum() == kept_count(density, scores[name].numel())
    everywhere = masked_weights(masked(module, scores, density, "global")).values()
    assert sum(int(weight.mask().sum()) for weight in everywhere) == kept_count(
        density, sum(score.numel() for score in scores.values())
    )


def test_global_mask_keeps_the_largest_of_all_scores() -> None:
    module = plain(redundancy=0)
    scores = random_scores(module)
    scores["fc1.weight"] *= 100
    masks = {name: w.mask() for name, w in masked_weights(masked(module, scores, 0.7, "global")).items()}
    kept = torch.cat([scores[name][mask].abs() for name, mask in masks.items()])
    pruned = torch.cat([scores[name][~mask].abs() for name, mask in masks.items()])
    assert kept.min() >= pruned.max()
    assert masks["fc1.weight"].float().mean() > 0.9 > 0.5 > masks["conv2.weight"].float().mean()


@pytest.mark.parametrize("redundancy", [0, 2])
@pytest.mark.parametrize("relu", [False, True])
def test_output_and_gradients_are_those_of_the_plain_module(redundancy: int, relu: bool) -> None:
    """The plain module filled with weight * mask gives the same outputs, and its weight gradient times weight times
    sign(score) is the score gradient, for kept and pruned scores alike."""
    module = plain(redundancy, relu)
    network = masked(module, random_scores(module), 0.4, "layer")
    reference = plain(redundancy, relu)
    for name, weight in masked_weights(network).items():
        reference.get_parameter(name).data.mul_(weight.mask())
    losses = [torch.nn.functional.cross_entropy(net(IMAGES), LABELS) for net in (network, reference)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1])
    for name, weight in masked_weights(network).items():
        gradient = reference.get_parameter(name).grad
        assert gradient is not None
        assert weight.scores.grad is not None
        torch.testing.assert_close(
            weight.scores.grad, gradient * weight.weight * weight.scores.detach().sign(), atol=1e-6, rtol=1e-4
        )
        if not relu:
            assert weight.scores.grad[~weight.mask()].count_nonzero() > 0


def test_weights_are_bytes_that_training_leaves_alone() -> None:
    module = plain(redundancy=2)
    before = {name: value.detach().numpy().tobytes() for name, value in module.named_parameters()}
    network = masked(module, random_scores(module), 0.5, "layer")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    scores = {name: weight.scores.detach().clone() for name, weight in masked_weights(network).items()}
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(IMAGES), LABELS).backward()
        optimizer.step()
    for name, weight in masked_weights(network).items():
        assert weight.weight.numpy().tobytes() == before[name]
        assert module.get_parameter(name).detach().numpy().tobytes() == before[name]
        assert not torch.equal(weight.scores, scores[name])


def test_layers_without_scores_stay_frozen() -> None:
    module = plain(redundancy=0)
    scores = {name: value for name, value in random_scores(module).items() if name.startswith("fc")}
    network = masked(module, scores, 0.5, "layer")
    assert list(masked_weights(network)) == list(scores)
    assert isinstance(network.get_submodule("conv1"), torch.nn.Conv2d)
    assert {name for name, value in network.named_parameters() if value.requires_grad} == {
        f"{n}.scores" for n in scores
    }


def test_biases_and_a_lone_layer() -> None:
    layer = torch.nn.Linear(5, 4)
    network = masked(layer, {"weight": torch.ones(4, 5)}, 1.0, "layer")
    torch.testing.assert_close(network(torch.ones(2, 5)), layer(torch.ones(2, 5)))
    assert [name for name, _ in network.named_parameters()] == ["weight.scores"]


def test_several_runs_multiply_at_once() -> None:
    x, weight, bias = torch.randn(6, 5), torch.randn(3, 4, 5), torch.randn(4)
    together = multiply(
        multiply(x, weight, bias), torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)), None
    )
    assert together.shape == (3, 6, 2)
    for run, outputs in enumerate(multiply(x, weight, bias)):
        torch.testing.assert_close(outputs, multiply(x, weight[run], bias))


def test_names_and_densities_that_fit_nothing_are_refused() -> None:
    module = RedundantFullyConnected(inputs=9, hidden=5, outputs=3, depth=2, redundancy=2, relu=False).module()
    scores = random_scores(module)
    with pytest.raises(ConfigError, match="density must lie in"):
        masked(module, scores, 1.5, "layer")
    with pytest.raises(ConfigError, match="scope must be one of"):
        masked(module, scores, 0.5, "network")
    with pytest.raises(ConfigError, match=r"no layer to mask is named fc9\.weight"):
        masked(module, scores | {"fc9.weight": torch.ones(1)}, 0.5, "layer")
    with pytest.raises(ConfigError, match="layer fc1 needs scores for weight2 too"):
        masked(module, {"fc1.weight1": scores["fc1.weight1"]}, 0.5, "layer")
    assert len(masked_layers(masked(module, scores, 0.5, "layer"))) == 2
