"""Failures taken apart, on few instances."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from poisson_samples import agrees, best_errors, uniform
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.grid import Grid
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.curve import Curve
from lth_runner.laws.failure_terms import Case, FailureTerms, Panel, counted, floor_at, missed, term_at
from lth_runner.laws.first_hits import SubsetSums
from lth_runner.laws.instances import Direct, Products
from lth_runner.laws.poisson import averaged
from lth_runner.laws.poisson.numbers import Moments, equally_likely
from lth_runner.laws.poisson.reach import uniform_floor
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM = Uniform(low=-1.0, high=1.0)
SUMS = SubsetSums(max_n=12, max_values=24, solver=MeetInMiddle())
DIRECT = Curve(label="direct", law=Direct(distribution=UNIFORM), targets=UNIFORM, search=SUMS, instances=4000)
PRODUCTS = replace(
    DIRECT,
    label="products",
    law=Products(twin=True, signs="reserved", distribution=UNIFORM),
    search=replace(SUMS, max_n=40),
    instances=1000,
)
CASE = Case(curve=DIRECT, epsilon=0.05, n=[6, 8, 12])
STUDY = FailureTerms(
    panels={
        "some": Panel(title="some", cases={"direct": CASE, "products": Case(curve=PRODUCTS, epsilon=0.05, n=[24, 40])})
    },
    confidence=0.95,
    least_failures=5,
    holds_within=0.1,
)
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")


def test_the_parts_are_those_of_the_instances_themselves() -> None:
    values, targets, window = uniform(1, 500, 8), uniform(2, 500), 0.03
    errors = best_errors(values[:, :6], targets)
    out, normal, tilted = missed(values[None], targets, [6, 8], window)
    reach = np.maximum(values[:, :6] * np.sign(targets)[:, None], 0).sum(axis=1)
    beyond = np.abs(targets) - reach > window
    assert out[0] == beyond.sum() and (errors[beyond] > window).all()
    assert out[1] <= out[0]
    for predicted in (normal, tilted):
        assert agrees(int(((errors > window) & ~beyond).sum()), 500, predicted[0] / 500, off=0.1)


def test_what_is_out_of_reach_is_counted_once() -> None:
    out, normal, tilted = missed(0.1 * uniform(5, 40, 9)[None], np.full(40, 0.95), [6, 9], 0.03)
    assert out.tolist() == [40, 40]
    assert not normal.any() and not tilted.any()


def test_two_problems_fail_where_either_does() -> None:
    values, targets = uniform(3, 300, 6), uniform(4, 300)
    one, two = (missed(np.stack(parts), targets, [6], 0.05) for parts in ([values], [values, values]))
    assert two[0] == one[0]
    assert one[2] < two[2] < 2 * one[2]


@pytest.mark.parametrize("target", [0.6, -0.6])
def test_the_floor_of_uniform_numbers_is_the_closed_form(target: float) -> None:
    numbers = equally_likely(UNIFORM)
    assert floor_at(numbers, 9, target, 0.01) == pytest.approx(float(uniform_floor(9, 0.59)), rel=2e-3)
    assert floor_at(numbers, 9, 0.01, 0.01) == 0


def test_the_floor_of_whole_numbers_is_that_of_all_rows() -> None:
    numbers = np.arange(-3.0, 4)
    rows = np.array(list(product(numbers, repeat=4)))
    for target in (1.0, -3.0):
        beyond = np.maximum(rows * np.sign(target), 0).sum(axis=1) < abs(target)
        assert floor_at(numbers, 4, target, 0.5) == pytest.approx(beyond.mean(), rel=1e-6)


def test_the_averaged_term_counts_numbers_that_may_be_used() -> None:
    one = Moments(mean=0.0, variance=1.0)
    alone = term_at(np.array([-1.0, 1.0]), 10, 0.3, 0.01)
    assert alone == pytest.approx(float(averaged.failure(10, one, 0.3, 0.01)[0]))
    assert term_at(np.array([-1.0, 0.0, 0.0, 1.0]), 20, 0.3, 0.01) > alone
    assert term_at(np.array([0.0, 0.0, 0.0, 1.0]), 1, 0.3, 0.4) == 0


def test_numbers_of_products_are_those_that_are_drawn() -> None:
    numbers = PRODUCTS.law.equally_likely()
    values, usable = PRODUCTS.law.draw(Streams(1), ("test",), 20_000, 0, 1)
    drawn = np.where(usable, values, 0.0)
    assert drawn.shape[0] == PRODUCTS.law.problems == 2
    assert np.mean(numbers == 0) == 0.5
    for part in drawn:
        assert part.mean() == pytest.approx(numbers.mean(), abs=0.015)
        assert (part**2).mean() == pytest.approx((numbers**2).mean(), abs=0.01)


def test_counts_are_those_of_the_curve() -> None:
    hits = DIRECT.hits(PROBLEM, np.array([0.05]), Memory())
    found = counted(CASE, PROBLEM, Memory())
    assert found["failures"].tolist() == [int(hits.failures(n)[0]) for n in CASE.n]
    assert (found["out"] <= found["failures"]).all()


@pytest.mark.slow
def test_sums_stand_beside_the_counts() -> None:
    memory = Memory()
    outcome = STUDY.run(PROBLEM, {}, memory)
    assert [point["n"] for point in outcome.points] == [6, 8, 12, 24, 40]
    for point in outcome.points:
        both = point["tilted_term"] + point["floor"]
        assert point["tilted_ratio"] == pytest.approx(point["failures"] / point["instances"] / both)
        assert point["given_low"] < point["given_ratio"] < point["given_high"]
        assert agrees(point["failures"], point["instances"], both, off=0.15)
        assert agrees(point["out"], point["instances"], point["floor"])
    assert outcome.summary["direct/tilted_holds_from_n"] == 6
    assert len(memory.said) == 2
    drawn: Any = figure(outcome.points, outcome.figures["failure_terms"])
    assert len(drawn.axes) == 2


def test_whole_numbers_have_half_a_step() -> None:
    grid = Grid(largest=3, step=1.0)
    curve = replace(DIRECT, law=Direct(distribution=grid), targets=grid)
    case = Case(curve=curve, epsilon=0.25, n=[3])
    found = counted(case, PROBLEM, Memory())
    assert agrees(int(found["failures"][0]), 4000, (found["out"][0] + found["tilted"][0]) / 4000, off=0.3)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="ascending"):
        replace(CASE, n=[8, 6])
    with pytest.raises(ConfigError, match="max_n"):
        replace(CASE, n=[8, 13])
    with pytest.raises(ConfigError, match="empty"):
        replace(STUDY, panels={})
