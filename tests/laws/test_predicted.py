"""The law's prediction of curves, against the curves themselves."""

from dataclasses import replace

import numpy as np
import pytest
from poisson_samples import agrees
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.grid import Grid
from lth_runner.distributions.target_range import TargetRange
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.curve import Curve
from lth_runner.laws.first_hits import SubsetSums
from lth_runner.laws.instances import Direct, Products
from lth_runner.laws.predicted import LocalPoisson
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM, GRID = Uniform(low=-1.0, high=1.0), Grid(largest=15, step=0.5)
SUMS = SubsetSums(max_n=14, max_values=24, solver=MeetInMiddle())
DIRECT = Curve(label="direct", law=Direct(distribution=UNIFORM), targets=UNIFORM, search=SUMS, instances=4000)
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")
EPSILONS = np.array([0.05, 0.01])
CURVES = {
    "direct": (DIRECT, range(10, 15)),
    "reserved": (
        replace(
            DIRECT,
            law=Products(twin=True, signs="reserved", distribution=UNIFORM),
            search=replace(SUMS, max_n=50),
            instances=1000,
        ),
        range(36, 51, 2),
    ),
    "as drawn": (
        replace(
            DIRECT,
            law=Products(twin=True, signs="as_drawn", distribution=UNIFORM),
            search=replace(SUMS, max_n=26),
            instances=1000,
        ),
        range(18, 27),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_measured_shares_fit_the_law(name: str) -> None:
    """The law's own error is allowed 8 %."""
    curve, ns = CURVES[name]
    hits = curve.hits(PROBLEM, EPSILONS, Memory())
    law = LocalPoisson(draws=4000).failures(curve, PROBLEM, EPSILONS, Memory())
    assert law.shape == (curve.search.max_n + 1, 2)
    for n in ns:
        for e in range(2):
            assert agrees(int(hits.failures(n)[e]), curve.instances, float(law[n, e]), off=0.08)


@pytest.mark.slow
def test_exact_sums_on_a_grid() -> None:
    """The law's own error, from repeated sums, is allowed 25 %; without the grid's step it would be a factor."""
    curve = replace(DIRECT, law=Direct(distribution=GRID), targets=GRID, search=replace(SUMS, max_n=9))
    for epsilon in (0.2, 0.6):  # exact, and one step beside counts, too
        hits = curve.hits(PROBLEM, np.array([epsilon]), Memory())
        law = LocalPoisson(draws=4000).failures(curve, PROBLEM, np.array([epsilon]), Memory())
        assert agrees(int(hits.failures(7)[0]), curve.instances, float(law[7, 0]), off=0.25)


def test_no_number_and_each_more() -> None:
    law = LocalPoisson(draws=500).failures(DIRECT, PROBLEM, EPSILONS, Memory())
    np.testing.assert_allclose(law[0], 1 - EPSILONS, atol=0.05)
    assert (law[3:-1] >= law[4:]).all()
    assert (law[:, 0] <= law[:, 1]).all()
    reserved = LocalPoisson(draws=100).failures(CURVES["reserved"][0], PROBLEM, EPSILONS, Memory())
    np.testing.assert_array_equal(reserved[20], reserved[21])


def test_the_numbers_are_not_the_measured_ones_and_depend_on_the_seed() -> None:
    first, again = (LocalPoisson(draws=200).failures(DIRECT, PROBLEM, EPSILONS, Memory()) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = LocalPoisson(draws=200).failures(DIRECT, replace(PROBLEM, streams=Streams(1)), EPSILONS, Memory())
    assert (first != other).any()


def test_the_weights_of_a_network_are_targets() -> None:
    target = {"fc1.weight": np.linspace(-0.25, 0.25, 11)[None]}
    network = FullyConnected(inputs=11, hidden=1, outputs=1, depth=1, biases=False)
    problem = replace(PROBLEM, target=target, network=network)
    own = replace(DIRECT, targets=None, law=Direct(distribution=TargetRange()))
    drawn = own.drawn(problem, ("x",), 0, 300, 5)
    assert set(np.unique(drawn.targets)) == set(np.linspace(-0.25, 0.25, 11))
    assert 0.2 < np.abs(drawn.values).max() <= 0.25
    with pytest.raises(ConfigError, match="there is none"):
        LocalPoisson(draws=10).failures(own, PROBLEM, EPSILONS, Memory())
