"""First successes against brute force, laws and closed forms."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.grid import Grid
from lth_runner.distributions.signs import Signs
from lth_runner.distributions.target_range import TargetRange
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.closed_forms import OneBestDirect, OneBestProduct
from lth_runner.laws.curve import Curve
from lth_runner.laws.first_hits import NEVER, OneBest, SubsetSums
from lth_runner.laws.instances import Direct, Law, Products
from lth_runner.laws.statistics import binomial_interval
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Problem
from lth_runner.subset_sum.exhaustive import all_sums
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM = Uniform(low=-1.0, high=1.0)
EPSILONS = np.array([0.3, 0.05, 0.01])
LAWS = {
    "direct": Direct(distribution=UNIFORM),
    "never negative": Products(twin=False, signs="reserved", distribution=UNIFORM),
    "reserved": Products(twin=True, signs="reserved", distribution=UNIFORM),
    "as drawn": Products(twin=True, signs="as_drawn", distribution=UNIFORM),
}
PATH = ("values", "test")


def sums(max_n: int, max_values: int = 40) -> SubsetSums:
    return SubsetSums(max_n=max_n, max_values=max_values, solver=MeetInMiddle())


def problem(seed: int = 0, target: dict[str, np.ndarray] | None = None) -> Problem:
    network = FullyConnected(inputs=2, hidden=1, outputs=1, depth=1, biases=True)
    return Problem(network=network, target=target, data=None, streams=Streams(seed), device="cpu")


def curve(law: Law, search: Any, instances: int, targets: Any = UNIFORM) -> Curve:
    return Curve(label="curve", law=law, targets=targets, search=search, instances=instances)


def brute_force(law: Law, targets: np.ndarray, max_n: int, one: bool) -> np.ndarray:
    """(B, E): by looking at every subset (or every single number) of every prefix of every problem."""
    draws = max_n // law.offered_per_draw
    values, usable = law.draw(Streams(0), PATH, targets.size, 0, draws)
    first = np.full((targets.size, EPSILONS.size), NEVER)
    for b, target in enumerate(targets):
        for e, epsilon in enumerate(EPSILONS):
            for k in range(draws, -1, -1):
                offers = [row[b, :k][use[b, :k]] for row, use in zip(values, usable, strict=True)]
                reached = [np.append(0.0, offer) if one else all_sums(offer) for offer in offers]
                if all(np.abs(each - target).min() <= epsilon for each in reached):
                    first[b, e] = k * law.offered_per_draw
    return first


@pytest.mark.parametrize("name", LAWS)
def test_subset_sums_succeed_when_brute_force_does(name: str) -> None:
    targets = np.random.default_rng(0).uniform(-1, 1, 60)
    max_n = 10 * LAWS[name].offered_per_draw
    found = sums(max_n).first(LAWS[name], Streams(0), PATH, targets, EPSILONS)
    np.testing.assert_array_equal(found.first, brute_force(LAWS[name], targets, max_n, one=False))
    assert found.given_up.size == 0


@pytest.mark.parametrize("name", LAWS)
def test_one_number_succeeds_when_brute_force_says_so(name: str) -> None:
    """With one instance per stream, so that the brute force sees the same numbers."""
    for target in np.random.default_rng(1).uniform(-1, 1, 20):
        found = OneBest(max_n=200).first(LAWS[name], Streams(0), PATH[:1], np.array([target]), EPSILONS)
        values, usable = LAWS[name].draw(Streams(0), ("values", "0"), 1, 0, 200 // LAWS[name].offered_per_draw)
        hit = usable & (np.abs(values - target) <= EPSILONS[:, None, None, None])  # (E, problems, 1, draws)
        draws = np.where(hit.any(-1), hit.argmax(-1) + 1, NEVER).max(axis=(1, 2))
        draws = np.where(np.abs(target) <= EPSILONS, 0, draws)
        expected = np.where(draws == NEVER, NEVER, np.minimum(draws, 200) * LAWS[name].offered_per_draw)
        np.testing.assert_array_equal(found.first[0], expected)


@pytest.mark.parametrize("name", LAWS)
def test_numbers_do_not_depend_on_how_far_one_looks(name: str) -> None:
    short, long = (LAWS[name].draw(Streams(3), PATH, 5, 0, stop)[0] for stop in (4, 9))
    np.testing.assert_array_equal(long[..., :4], short)
    np.testing.assert_array_equal(LAWS[name].draw(Streams(3), PATH, 5, 4, 9)[0], long[..., 4:])


def test_reserved_neurons_serve_one_sign_and_drawn_ones_the_sign_they_have() -> None:
    values, usable = LAWS["as drawn"].draw(Streams(0), PATH, 3, 0, 50)
    np.testing.assert_array_equal(values[0], values[1])
    assert (usable[0] ^ usable[1]).all()
    values, _ = LAWS["reserved"].draw(Streams(0), PATH, 3, 0, 50)
    assert (values[0] != values[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("search", [sums(30), OneBest(max_n=3000)])
def test_a_smaller_epsilon_never_succeeds_earlier(search: Any) -> None:
    hits = curve(LAWS["direct"], search, 300).hits(problem(), EPSILONS, Memory())
    assert (np.diff(hits.first, axis=1) >= 0).all()
    assert (hits.first[:, 0] < hits.first[:, 2]).any()


@pytest.mark.slow
def test_the_seed_decides() -> None:
    first, again, other = (
        curve(LAWS["as drawn"], sums(40), 200).hits(problem(seed), EPSILONS, Memory()).first for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "form"),
    [(LAWS["direct"], OneBestDirect(label="")), (LAWS["never negative"], OneBestProduct(label=""))],
)
def test_one_number_fails_as_often_as_the_closed_form_says(law: Law, form: Any) -> None:
    """Each of the 12 comparisons fails by chance with probability 1e-9 at most."""
    instances = 2000
    hits = curve(law, OneBest(max_n=400), instances).hits(problem(1), EPSILONS, Memory())
    for n in (1, 10, 100, 400):
        low, high = binomial_interval(hits.failures(n), instances, 1 - 1e-9)
        expected = [form.failure(n, epsilon) for epsilon in EPSILONS]
        assert ((low <= expected) & (expected <= high)).all()


def test_whole_numbers_never_reach_what_lies_between_them() -> None:
    law = Direct(distribution=Signs(size=1.0))
    found = sums(12).first(law, Streams(0), PATH, np.array([0.5, 1.0, -2.0, 0.0]), np.array([0.25]))
    assert found.first[0, 0] == NEVER
    assert (found.first[1:, 0] <= 12).all()
    assert found.first[3, 0] == 0


def test_a_search_that_gives_up_says_from_which_n() -> None:
    law = Direct(distribution=Grid(largest=1, step=1.0))
    targets = np.full(100, 0.5)
    found = sums(8, max_values=4).first(law, Streams(0), PATH, targets, np.array([0.1]))
    np.testing.assert_array_equal(found.given_up, np.full(100, 5))
    assert found.known_to(8) == 4
    found = sums(4, max_values=4).first(law, Streams(0), PATH, targets, np.array([0.1]))
    assert found.given_up.size == 0
    assert found.known_to(4) == 4


def test_a_problem_of_products_is_given_up_at_its_first_usable_number_too_many() -> None:
    found = sums(40, max_values=3).first(LAWS["reserved"], Streams(0), PATH, np.full(50, 1.0), np.array([1e-9]))
    _, usable = LAWS["reserved"].draw(Streams(0), PATH, 50, 0, 20)
    fourth = np.where(usable.sum(-1) > 3, (usable.cumsum(-1) == 4).argmax(-1) + 1, NEVER)  # (problems, B)
    fourth = fourth.min(axis=0)
    np.testing.assert_array_equal(found.given_up, 2 * fourth[fourth < NEVER])


def test_blocks_join_to_all_instances() -> None:
    memory = Memory()
    search = OneBest(max_n=2)
    hits = curve(LAWS["direct"], search, search.block + 7).hits(problem(), EPSILONS, memory)
    assert hits.first.shape == (search.block + 7, 3)
    ((_, total, bar),) = memory.bars
    assert total == bar.done == search.block + 7


def test_no_block_repeats_another() -> None:
    search = OneBest(max_n=40)
    levels = Streams(0).uniform(("targets",), 0, 2 * search.block)
    hits = curve(LAWS["direct"], search, 2 * search.block).hits(problem(), EPSILONS, Memory())
    np.testing.assert_array_equal(hits.first == 0, np.abs(UNIFORM.quantile(levels))[:, None] <= EPSILONS)
    fixed = Uniform(low=0.5, high=0.5 + 1e-9)
    first = curve(LAWS["direct"], search, 2 * search.block, fixed).hits(problem(), EPSILONS, Memory()).first
    assert (first[: search.block] != first[search.block :]).any()


def test_targets_may_be_the_weights_of_a_network() -> None:
    target = {"fc1.weight": np.array([[0.5, -0.25]]), "fc1.bias": np.array([0.125])}
    law = Direct(distribution=Grid(largest=1, step=0.25))
    hits = curve(law, sums(20), 3000, targets=None).hits(problem(target=target), np.array([0.01]), Memory())
    unreachable = np.count_nonzero(hits.first == NEVER)
    low, high = binomial_interval(unreachable, 3000, 1 - 1e-9)
    assert low <= 1 / 3 <= high  # the bias is no multiple of 1/4; the others are reached by 20 numbers but for luck
    fitted = replace(law, distribution=TargetRange()).fitted((-0.25, 0.5))
    assert fitted.distribution == Uniform(low=-0.25, high=0.5)


def test_targets_must_come_from_somewhere() -> None:
    with pytest.raises(ConfigError, match="set targets"):
        curve(LAWS["direct"], sums(3), 10, targets=None).hits(problem(), EPSILONS, Memory())


def test_signs_as_drawn_need_a_twin() -> None:
    with pytest.raises(ConfigError, match="twin=true"):
        Products(twin=False, signs="as_drawn", distribution=UNIFORM)
