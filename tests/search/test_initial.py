"""First weights and scores: as the paper scales them, and recipes that draw the same again."""

import math

import pytest
import torch

from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.search.initial import drawn, fans, recipes

NETWORK = LeNet5(hidden=(120, 84), outputs=10, redundancy=5, relu=False, biases=False)
LINEAR = [name for name in parameter_shapes(NETWORK) if name.startswith("fc")]


def test_fans_are_those_of_the_published_code() -> None:
    found = fans(NETWORK)
    assert (found["fc1.weight1"], found["fc1.weight2"]) == (1, 400)
    assert (found["conv1.weight"], found["conv2.weight"]) == (25, 150)
    assert fans(LeNet5(hidden=(120, 84), outputs=10, redundancy=0, relu=False, biases=False))["fc2.weight"] == 120


def test_spread_of_weights_and_scores() -> None:
    """Published: N(0, 2) and N(0, 2 / in), scores U(+-std); 240,000 draws give a std within 1 % but once in 10^11."""
    law = KaimingNormal(gain=math.sqrt(2), density=1.0)
    weights = drawn(recipes(NETWORK, law, LINEAR, "weights"), seed=3)
    assert weights["fc1.weight2"].std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.01)
    assert weights["fc1.weight1"].std().item() == pytest.approx(math.sqrt(2), rel=0.08)
    scores = drawn(recipes(NETWORK, KaimingUniform(gain=math.sqrt(2 / 3), density=1.0), LINEAR, "scores"), seed=3)
    assert scores["fc1.weight2"].abs().max().item() == pytest.approx(math.sqrt(2 / 400), rel=0.001)


def test_equal_seed_and_purpose_give_equal_draws() -> None:
    law = KaimingNormal(gain=1.0, density=1.0)
    first, again = (drawn(recipes(NETWORK, law, LINEAR, "weights"), seed=1) for _ in range(2))
    other = drawn(recipes(NETWORK, law, LINEAR, "weights"), seed=2)
    scores = drawn(recipes(NETWORK, law, LINEAR, "scores"), seed=1)
    for name in LINEAR:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
        assert not torch.equal(first[name], scores[name])
