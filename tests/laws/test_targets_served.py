"""Many targets from one set of numbers, on few instances."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from poisson_samples import uniform
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.curve import Curve
from lth_runner.laws.first_hits import NEVER, SubsetSums
from lth_runner.laws.fresh_masks import FreshMasks, first_at_most, first_hits, shared_law
from lth_runner.laws.instances import Direct
from lth_runner.laws.one_mask import EveryTarget, OneMask, box_quantile, passed, worst_on_grid
from lth_runner.laws.poisson.quenched import failure, tilted
from lth_runner.laws.poisson.variants import box_error_quantile, box_log_rate
from lth_runner.laws.predicted import LocalPoisson
from lth_runner.laws.targets_served import TargetsServed
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.subset_sum.exhaustive import all_sums
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM = Uniform(low=-1.0, high=1.0)
OWN = Curve(
    label="own",
    law=Direct(distribution=UNIFORM),
    targets=UNIFORM,
    search=SubsetSums(max_n=16, max_values=20, solver=MeetInMiddle()),
    instances=3000,
)
FRESH = FreshMasks(
    epsilons=[0.1, 0.05],
    targets=[1, 8],
    share=0.8,
    rows=60,
    law_rows=30,
    max_n=14,
    own=OWN,
    law=LocalPoisson(draws=2000),
)
STUDY = TargetsServed(
    numbers=UNIFORM,
    targets=UNIFORM,
    fresh=FRESH,
    one=OneMask(n={1: [2, 4, 6, 8], 2: [4, 8, 12]}, epsilons=[0.1], share=0.5, instances=100),
    every=EveryTarget(n={1: [4, 6, 8, 10, 12], 2: [8, 10, 12]}, epsilon=0.5, share=0.5, rows=20),
    confidence=0.95,
)
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")


@pytest.mark.slow
def test_the_three_questions() -> None:
    outcome = STUDY.run(PROBLEM, {}, Memory())
    n = {(p["panel"], p["curve"], p["targets"], p["epsilon"]): p["n"] for p in outcome.points if p["panel"] != "errors"}
    for epsilon in FRESH.epsilons:
        assert n["fresh", "shared", 1, epsilon] == pytest.approx(n["fresh", "own", 1, epsilon], abs=1)
        assert n["fresh", "shared", 8, epsilon] < n["fresh", "own", 8, epsilon]
    assert n["one", "0.1", 1, 0.1] < n["one", "0.1", 2, 0.1]
    for d in (1, 2):
        assert n["every", "lower", d, 0.5] <= n["every", "upper", d, 0.5]
    for point in outcome.points:
        if point["panel"] == "fresh":
            assert point["n_law"] is None or abs(point["n_law"] - point["n"]) <= 1
        elif point["panel"] == "errors" and point["n"] >= 8:
            assert 0.7 < point["error"] / point["law"] < 1.4
    assert len(outcome.rows) == len(n)
    drawn: Any = figure(outcome.points, outcome.figures["targets_served"])
    assert len(drawn.axes) == 3


def test_the_least_n_that_serves_a_target() -> None:
    row, targets = uniform(1, 9), uniform(2, 50)
    first = first_hits(row, targets, [0.1, 0.01])
    for at, epsilon in enumerate((0.1, 0.01)):
        errors = np.array([[np.abs(all_sums(row[:n]) - w).min() for n in range(10)] for w in targets])
        expected = [int(np.argmax(line <= epsilon)) if line[-1] <= epsilon else NEVER for line in errors]
        assert first[:, at].tolist() == expected


def test_one_target_is_served_with_its_own_probability() -> None:
    ask = replace(FRESH, targets=[1, 40])
    rows, targets = uniform(3, 25, 10), uniform(4, 25, 40)
    shares = shared_law(rows, targets, ask)
    for e, epsilon in enumerate(ask.epsilons):
        alone = 1 - failure(tilted(rows, targets[:, 0]), epsilon)
        assert shares[e, 0] >= alone.mean() - 1e-12
        assert shares[e, 1] < shares[e, 0]


def test_a_quantile_over_all_instances() -> None:
    values, targets = uniform(5, 1, 14, 2), uniform(6, 1, 2)
    rate = box_log_rate(values, targets)
    assert box_quantile(rate, 2, 0.3) == pytest.approx(float(box_error_quantile(rate, 2, 0.3)[0]))
    both = np.concatenate([rate, rate + 1])
    assert box_quantile(rate + 1, 2, 0.3) < box_quantile(both, 2, 0.3) < box_quantile(rate, 2, 0.3)


def test_the_worst_target_of_a_grid() -> None:
    row = uniform(7, 6, 2)
    axis = (-1.0, -0.5, 0.0, 0.5, 1.0)
    subsets = ((np.arange(64)[:, None] >> np.arange(6)) & 1) @ row
    worst = max(np.abs(subsets - (x, y)).max(axis=1).min() for x in axis for y in axis)
    assert worst_on_grid(row, 0.5) == pytest.approx(worst)


def test_where_an_error_passes_epsilon() -> None:
    points = [{"n": n, "error": 2.0**-n} for n in (2, 4, 8)]
    assert passed(points, "error", 2.0**-5) == pytest.approx(5)
    assert passed(points, "error", 2.0**-4) == pytest.approx(4)
    assert passed(points, "error", 2.0**-9) is None
    assert first_at_most(np.array([0.5, 0.2, 0.1]), 0.2) == 1
    assert first_at_most(np.array([0.5]), 0.2) is None


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="ascend"):
        replace(FRESH, targets=[8, 1])
    with pytest.raises(ConfigError, match="whole"):
        replace(STUDY.every, epsilon=0.3)
