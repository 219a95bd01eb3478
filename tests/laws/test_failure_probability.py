"""Failures against n on few instances."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.grid import Grid
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.closed_forms import OutOfReach
from lth_runner.laws.curve import Curve
from lth_runner.laws.failure_probability import Comparable, FailureProbability
from lth_runner.laws.first_hits import SubsetSums
from lth_runner.laws.instances import Direct, Products
from lth_runner.laws.predicted import LocalPoisson
from lth_runner.laws.statistics import binomial_interval
from lth_runner.problem import Problem
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM, GRID = Uniform(low=-1.0, high=1.0), Grid(largest=3, step=1.0)
SUMS = SubsetSums(max_n=24, max_values=24, solver=MeetInMiddle())
DIRECT = Curve(label="direct", law=Direct(distribution=UNIFORM), targets=UNIFORM, search=SUMS, instances=5000)
PRODUCTS = Curve(
    label="products",
    law=Products(twin=True, signs="reserved", distribution=UNIFORM),
    targets=UNIFORM,
    search=replace(SUMS, max_n=80),
    instances=500,
)
WHOLE = Curve(label="whole", law=Direct(distribution=GRID), targets=GRID, search=SUMS, instances=5000)
STUDY = FailureProbability(
    panels={
        "precise": Comparable(
            title="precise",
            epsilon=0.05,
            curves={"direct": DIRECT, "products": PRODUCTS},
            closed_forms={"reach": OutOfReach(label="out of reach")},
        ),
        "exact": Comparable(title="exact", epsilon=0.25, curves={"whole": WHOLE}, closed_forms={}),
    },
    table_n=[2, 3, 8, 30],
    tail=0.2,
    least_failures=10,
    confidence=0.95,
    law=LocalPoisson(draws=2000),
)
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")


@pytest.mark.slow
def test_the_law_stands_beside_the_share_while_its_draws_know_it() -> None:
    points = STUDY.run(PROBLEM, {}, Memory()).points
    direct = [point for point in points if point["curve"] == "direct"]
    known = [point["failure_law"] is not None for point in direct]
    assert known == sorted(known, reverse=True)
    assert min(point["failure_law"] for point in direct if point["failure_law"]) >= 10 / 2000
    for point in direct[6:10]:
        assert point["failure_low"] < 1.3 * point["failure_law"]
        assert point["failure_law"] < 1.3 * point["failure_high"]
    silent = replace(STUDY, law=None).run(PROBLEM, {}, Memory()).points
    assert [{**point, "failure_law": None} for point in points] == silent


@pytest.mark.slow
def test_every_n_is_counted_with_its_interval() -> None:
    memory = Memory()
    outcome = STUDY.run(PROBLEM, {}, memory)
    hits = DIRECT.hits(PROBLEM, np.array([0.05]), Memory())
    lines: list[Any] = [line for line in memory.lines if line["curve"] == "direct"]
    assert [line["n"] for line in lines] == list(range(1, 25))
    for line in lines:
        assert line["failures"] == hits.failures(line["n"])[0]
        low, high = binomial_interval(line["failures"], 5000, 0.95)
        assert (line["failure_low"], line["failure_high"]) == (low, high)
    assert [line["n"] for line in memory.lines if line["curve"] == "products"] == list(range(2, 81, 2))
    assert [f"{row['label']}, n = {row['n']}" for row in outcome.rows] == [
        "direct, n = 2", "direct, n = 3", "direct, n = 8",  # it ends at 24
        "products, n = 2", "products, n = 8", "products, n = 30",  # n = 3 is no number of reserved pairs
        "whole, n = 2", "whole, n = 3", "whole, n = 8",
    ]  # fmt: skip
    assert outcome.rows[2]["failures"] == hits.failures(8)[0]


def test_no_subset_beats_the_reach() -> None:
    """Chance puts the share below its lower bound by more than this interval with probability 1e-9 per n."""
    memory = Memory()
    STUDY.run(PROBLEM, {}, memory)
    lines: list[Any] = [line for line in memory.lines if line["curve"] == "direct"]
    _, high = binomial_interval([line["failures"] for line in lines], 5000, 1 - 1e-9)
    assert (high >= OutOfReach(label="").failure([line["n"] for line in lines], 0.05)).all()


@pytest.mark.slow
def test_failures_vanish_exponentially() -> None:
    """A factor between the halving of the information limit and 0.7: the seed is fixed."""
    memory = Memory()
    summary: Any = STUDY.run(PROBLEM, {}, memory).summary
    for name in ("direct", "whole"):
        assert 0.4 < summary[f"{name}/factor_low"] < summary[f"{name}/factor"] < summary[f"{name}/factor_high"] < 0.7
        assert summary[f"{name}/tail_from_n"] < summary[f"{name}/tail_to_n"]
    assert any(said.startswith("direct: what one more number leaves") for said in memory.said)
    pairs = Memory()
    products: Any = STUDY.run(PROBLEM, {}, pairs).summary
    failures = {line["n"]: line["failures"] for line in pairs.lines if line["curve"] == "products"}
    start, stop = products["products/tail_from_n"], products["products/tail_to_n"]
    counts: list[Any] = [failures[n] for n in range(start, stop + 1, 2)]
    assert products["products/factor"] ** 2 == pytest.approx(sum(counts[1:]) / sum(counts[:-1]))


def test_a_curve_without_a_tail_says_so() -> None:
    memory = Memory()
    short = replace(DIRECT, search=replace(SUMS, max_n=3), instances=100)
    panel = replace(STUDY.panels["precise"], curves={"short": short})
    summary = replace(STUDY, panels={"precise": panel}).run(PROBLEM, {}, memory).summary
    assert memory.said[0].startswith("short: no tail") or memory.said[0].startswith("direct: no tail")
    assert "short/factor" not in summary


def test_points_beyond_what_was_followed_are_left_out() -> None:
    memory = Memory()
    limited = replace(DIRECT, search=replace(SUMS, max_values=5), instances=200)
    panel = replace(STUDY.panels["precise"], curves={"limited": limited})
    summary: Any = replace(STUDY, panels={"precise": panel}).run(PROBLEM, {}, memory).summary
    assert [line["n"] for line in memory.lines] == [1, 2, 3, 4, 5]
    assert summary["limited/given_up"] > 0


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no curves"):
        replace(STUDY.panels["exact"], curves={})
    with pytest.raises(ConfigError, match="tail"):
        replace(STUDY, tail=1.5)
