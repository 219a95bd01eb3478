"""The price of sparsity on few instances."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from poisson_samples import uniform
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.equal_error import EqualError, first_n
from lth_runner.laws.of_size import closest_of_size
from lth_runner.laws.sparsity import (
    Guarantee,
    Kept,
    PriceOfSparsity,
    bits_per_bit,
    entropy,
    guaranteed,
    out_of_reach,
    predicted_median,
)
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM = Uniform(low=-1.0, high=1.0)
HALF, THREE = (
    Kept(label="half", size=None, share=0.5, n=[8, 10, 12]),
    Kept(label="k = 3", size=3, share=None, n=[8, 16]),
)
STUDY = PriceOfSparsity(
    numbers=UNIFORM,
    targets=UNIFORM,
    kept={"half": HALF, "three": THREE},
    guarantees={
        "single": Guarantee(kept=HALF, every_target=False, instances=400),
        "every": Guarantee(kept=HALF, every_target=True, instances=400),
    },
    equal={"coarse": EqualError(label="0.05", epsilon=0.05, share=0.5, most_n={1: 100, 3: 20})},
    instances=200,
    most_any=14,
    confidence=0.95,
    solver=MeetInMiddle(),
)
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")


@pytest.mark.slow
def test_errors_guarantees_and_masks() -> None:
    outcome = STUDY.run(PROBLEM, {}, Memory())
    by_panel = {panel: [p for p in outcome.points if p["panel"] == panel] for panel in ("errors", "guarantee", "bits")}
    assert [(p["n"], p["k"]) for p in by_panel["errors"]] == [(8, 4), (10, 5), (12, 6), (8, 3), (16, 3)]
    for point in by_panel["errors"]:
        assert point["epsilon_low"] < point["epsilon"] < point["epsilon_high"]
        assert 0.7 < point["law_ratio"] < 1.4
    for single, every in zip(by_panel["guarantee"][:3], by_panel["guarantee"][3:], strict=True):
        assert single["epsilon"] < every["epsilon"]
        assert 0 < single["out_of_reach"] < 1
    for point in by_panel["bits"]:
        assert point["n_low"] <= point["n"] <= point["n_high"]
        assert point["entropy"] <= point["coded_bits"] < 1.1 * point["entropy"] + 0.5
    assert [p["any_size"] for p in by_panel["bits"]] == [0, 0, 1]
    assert len(outcome.rows) == 14
    for when in ("early", "late"):
        assert 1 < float(outcome.summary[f"guarantee/single/slope_{when}"] or 0) < 10
    drawn: Any = figure(outcome.points, outcome.figures["price_of_sparsity"])
    assert len(drawn.axes) == 3


def test_the_least_n_is_the_first_of_the_same_numbers() -> None:
    (point, *_) = [p for p in STUDY.run(PROBLEM, {}, Memory()).points if p["panel"] == "bits"]
    streams = PROBLEM.streams
    values = UNIFORM.quantile(streams.uniform(("bits", "values"), 0, 200 * 100).reshape(100, 200).T)
    targets = UNIFORM.quantile(streams.uniform(("bits", "targets"), 0, 200))
    shares = [(np.abs(values[:, :n] - targets[:, None]).min(axis=1) <= 0.05).mean() for n in range(1, 101)]
    assert point["k"] == 1 and shares[point["n"] - 1] >= 0.5 > shares[point["n"] - 2]


def test_an_error_that_is_exceeded_with_its_own_probability() -> None:
    levels = np.linspace(0, 1, 1001)[1:]  # P(error > e) = 1 - e
    found = guaranteed(levels, 0.95)
    assert found.value == pytest.approx(0.5, abs=2e-3)
    assert found.low < found.value < found.high
    assert guaranteed(levels / 99, 0.95).value == pytest.approx(0.01, abs=2e-3)  # 1 - 99 e = e


def test_bits_of_a_mask_per_bit_of_the_error() -> None:
    before, there = (
        {"entropy": bits, "epsilon": error, "epsilon_low": error / 2, "epsilon_high": 2 * error}
        for bits, error in ((8.0, 2.0**-4), (20.0, 2.0**-8))
    )
    found = bits_per_bit(before, there)
    assert (found.low, found.value, found.high) == pytest.approx((2, 3, 6))


def test_targets_that_no_sum_of_a_size_reaches() -> None:
    values, targets = uniform(9, 200, 6), 3 * uniform(10, 200)
    sums = np.array([[row[list(places)].sum() for places in combinations(range(6), 2)] for row in values])
    beyond = (targets < sums.min(axis=1) - 0.1) | (targets > sums.max(axis=1) + 0.1)
    np.testing.assert_array_equal(out_of_reach(values, targets, 2, 0.1), beyond)


@pytest.mark.parametrize("size", [5, 8])
def test_the_law_of_a_size(size: int) -> None:
    values, targets = uniform(size, 400, 16), uniform(size + 1, 400)
    error, _ = closest_of_size(values, targets, size)
    law = predicted_median(values, targets, size)
    assert law is not None
    assert 0.8 < np.median(error) / law < 1.25
    assert predicted_median(values, targets, 16) is None


def test_bits_of_a_mask() -> None:
    assert entropy(10, 5) == pytest.approx(10)
    assert entropy(7, 7) == 0


def test_the_first_n() -> None:
    assert first_n(lambda n: n * n, 50, 1, 20) == 8
    assert first_n(lambda n: n, 0, 3, 20) == 3
    with pytest.raises(ConfigError, match="too few"):
        first_n(lambda n: n, 30, 1, 20)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        replace(HALF, size=3)
    with pytest.raises(ConfigError, match="at least one"):
        replace(THREE, n=[2])
