"""Networks with scores: exact counts, the straight-through gradient, and what cannot be."""

from dataclasses import replace

import pytest
import torch
from oracle import Oracle
from searching import EDGE_POPUP

from lth_runner.core.errors import ConfigError
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.scored import ScoredNetwork
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


def masks(network: ScoredNetwork) -> dict[str, torch.Tensor]:
    return FunctionalTraining([network], EDGE_POPUP, "cpu").masks()


@pytest.mark.parametrize("density", [0.0, 0.001, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("distinct", [0, 3])
def test_counts_are_exact_per_layer_and_over_all(density: float, distinct: int) -> None:
    module = plain(redundancy=2)
    scores = random_scores(module, distinct)
    layers = ScoredNetwork(module=module, scores=scores, density=density, scope="layer")
    for name, mask in masks(layers).items():
        assert mask.sum() == kept_count(density, scores[name].numel())
    everywhere = masks(replace(layers, scope="global")).values()
    total = sum(score.numel() for score in scores.values())
    assert sum(int(mask.sum()) for mask in everywhere) == kept_count(density, total)


def test_global_mask_keeps_the_largest_of_all_scores() -> None:
    module = plain(redundancy=0)
    scores = random_scores(module)
    scores["fc1.weight"] *= 100
    found = masks(ScoredNetwork(module=module, scores=scores, density=0.7, scope="global"))
    kept = torch.cat([scores[name][mask].abs() for name, mask in found.items()])
    pruned = torch.cat([scores[name][~mask].abs() for name, mask in found.items()])
    assert kept.min() >= pruned.max()
    assert found["fc1.weight"].float().mean() > 0.9 > 0.5 > found["conv2.weight"].float().mean()


@pytest.mark.parametrize("redundancy", [0, 2])
@pytest.mark.parametrize("relu", [False, True])
def test_output_and_gradients_are_those_of_the_plain_module(redundancy: int, relu: bool) -> None:
    """The plain module filled with weight * mask gives the same outputs, and its weight gradient times weight times
    sign(score) is the score gradient, for kept and pruned scores alike: a step without momentum and decay shows it."""
    module = plain(redundancy, relu)
    network = ScoredNetwork(module=module, scores=random_scores(module), density=0.4, scope="layer")
    rule = replace(EDGE_POPUP, momentum=0.0, weight_decay=0.0)
    training, reference = FunctionalTraining([network], rule, "cpu"), plain(redundancy, relu)
    found = training.masks()
    for name, mask in found.items():
        reference.get_parameter(name).data.mul_(mask)
    loss = torch.nn.functional.cross_entropy(reference(IMAGES), LABELS)
    loss.backward()
    torch.testing.assert_close(training.step(IMAGES, LABELS, rate=1.0), loss.detach())
    for name, columns in network.columns.items():
        gradient, weight = reference.get_parameter(name).grad, module.get_parameter(name).detach()
        assert gradient is not None
        slope = training.velocity[0, columns].view(weight.shape)
        torch.testing.assert_close(slope, gradient * weight * network.scores[name].sign(), atol=1e-6, rtol=1e-4)
        if not relu:
            assert slope[~found[name]].count_nonzero() > 0


def test_weights_without_scores_stay_whole() -> None:
    module = plain(redundancy=0)
    scores = {name: value for name, value in random_scores(module).items() if name.startswith("fc")}
    network = ScoredNetwork(module=module, scores=scores, density=0.5, scope="layer")
    assert list(network.columns) == list(masks(network)) == list(scores)
    oracle = Oracle(network, rate=0.1, momentum=0.0, decay=0.0)
    outputs = FunctionalTraining([network], EDGE_POPUP, "cpu").outputs(IMAGES)[0]
    torch.testing.assert_close(outputs, oracle.outputs(IMAGES).detach())


def test_biases_and_a_lone_layer() -> None:
    layer = torch.nn.Linear(5, 4)
    network = ScoredNetwork(module=layer, scores={"weight": torch.ones(4, 5)}, density=1.0, scope="layer")
    outputs = FunctionalTraining([network], EDGE_POPUP, "cpu").outputs(torch.ones(2, 5))[0]
    torch.testing.assert_close(outputs, layer(torch.ones(2, 5)).detach())


def test_names_shapes_and_densities_that_fit_nothing_are_refused() -> None:
    module = RedundantFullyConnected(inputs=9, hidden=5, outputs=3, depth=2, redundancy=2, relu=False).module()
    scores = random_scores(module)
    whole = ScoredNetwork(module=module, scores=scores, density=0.5, scope="layer")
    with pytest.raises(ConfigError, match="density must lie in"):
        replace(whole, density=1.5)
    with pytest.raises(ConfigError, match="scope must be one of"):
        replace(whole, scope="network")
    with pytest.raises(ConfigError, match=r"no weight to mask is named fc9\.weight"):
        replace(whole, scores=scores | {"fc9.weight": torch.ones(1)})
    with pytest.raises(ConfigError, match=r"fc1\.weight1 of shape \(2, 9\) has scores \(1,\)"):
        replace(whole, scores=scores | {"fc1.weight1": torch.ones(1)})
    with pytest.raises(ConfigError, match="no weight to train scores for"):
        replace(whole, scores={})
    with pytest.raises(ConfigError, match="go with scope=layer"):
        replace(whole, density={"fc1.weight1": 0.5})
    with pytest.raises(ConfigError, match="go with scope=layer"):
        replace(whole, density=dict.fromkeys(scores, 0.5), scope="global")
