"""Predicted median weight errors, against exact choices for drawn numbers."""

from dataclasses import replace

import numpy as np
import pytest
from poisson_samples import agrees, best_errors, uniform

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.target_range import TargetRange
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.instances import Direct, Products
from lth_runner.laws.weight_errors import OneErrors, SubsetErrors, WeightErrors
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Problem

WEIGHTS = np.linspace(-0.5, 0.5, 101)
NETWORK = FullyConnected(inputs=101, hidden=1, outputs=1, depth=1, biases=False)
PROBLEM = Problem(network=NETWORK, target={"fc1.weight": WEIGHTS[None]}, data=None, streams=Streams(0), device="cpu")
SUBSETS = SubsetErrors(law=Direct(distribution=TargetRange()), per_n=1, most=None, draws=1000, holds_for={})
BOTH = Products(twin=True, signs="as_drawn", distribution=Uniform(low=-1.0, high=1.0))
COUNT = 1500


@pytest.mark.slow
def test_subsets_of_numbers_in_the_weights_range() -> None:
    values, targets = 0.5 * uniform(1, COUNT, 11), np.random.default_rng(2).choice(WEIGHTS, COUNT)
    worse = int((best_errors(values, targets) > SUBSETS.medians(PROBLEM, [11])[0]).sum())
    assert agrees(worse, COUNT, 0.5, off=0.05)


@pytest.mark.slow
def test_the_worse_of_two_problems_counts() -> None:
    a, b = uniform(3, COUNT, 16), uniform(4, COUNT, 16)
    targets = np.random.default_rng(5).choice(WEIGHTS, COUNT)
    errors = [best_errors(np.where(sign * a > 0, a * b, 0.0), targets) for sign in (1, -1)]
    law = SubsetErrors(law=BOTH, per_n=2, most=None, draws=1000, holds_for={}).medians(PROBLEM, [8])[0]
    assert agrees(int((np.maximum(*errors) > law).sum()), COUNT, 0.5, off=0.08)


@pytest.mark.parametrize("n", [1, 6])
def test_one_number(n: int) -> None:
    targets = np.random.default_rng(6).choice(WEIGHTS, COUNT)
    errors = np.minimum(np.abs(0.5 * uniform(7, COUNT, n) - targets[:, None]).min(axis=1), np.abs(targets))
    law = OneErrors(law=SUBSETS.law, per_n=1, draws=1000, holds_for={}).medians(PROBLEM, [n])[0]
    assert agrees(int((errors > law).sum()), COUNT, 0.5)


def test_numbers_beyond_the_most_are_left_aside() -> None:
    three = replace(SUBSETS, most=3).medians(PROBLEM, [3])[0]
    assert replace(SUBSETS, most=3).medians(PROBLEM, [12])[0] == pytest.approx(three, rel=0.1)
    assert SUBSETS.medians(PROBLEM, [12])[0] < 0.1 * three


@pytest.mark.parametrize("law", [SUBSETS, OneErrors(law=SUBSETS.law, per_n=1, draws=1000, holds_for={})])
def test_points_of_a_curve_do_not_depend_on_each_other(law: WeightErrors) -> None:
    assert law.medians(PROBLEM, [3, 6]) == [*law.medians(PROBLEM, [3]), *law.medians(PROBLEM, [6])]


@pytest.mark.parametrize("law", [SUBSETS, OneErrors(law=SUBSETS.law, per_n=1, draws=10, holds_for={})])
def test_without_a_target_there_is_no_law(law: WeightErrors) -> None:
    with pytest.raises(ConfigError, match="choose a target"):
        law.medians(replace(PROBLEM, target=None), [3])
