"""The scaling law on few instances, against what its own hits say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.signs import Signs
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.closed_forms import OneBestDirect
from lth_runner.laws.curve import Curve
from lth_runner.laws.first_hits import OneBest, SubsetSums
from lth_runner.laws.instances import Direct
from lth_runner.laws.predicted import LocalPoisson, predicted_crossing
from lth_runner.laws.scaling_law import ScalingLaw
from lth_runner.laws.statistics import crossing
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.search.random_pruning import RandomPruning
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM = Uniform(low=-1.0, high=1.0)
SUMS = SubsetSums(max_n=24, max_values=24, solver=MeetInMiddle())
CURVES = {
    "sums": Curve(label="sums", law=Direct(distribution=UNIFORM), targets=UNIFORM, search=SUMS, instances=1000),
    "one": Curve(
        label="one", law=Direct(distribution=UNIFORM), targets=UNIFORM, search=OneBest(max_n=2000), instances=600
    ),
    "signs": Curve(
        label="signs",
        law=Direct(distribution=Signs(size=1.0)),
        targets=UNIFORM,
        search=replace(SUMS, max_n=6),
        instances=200,
    ),
}
STUDY = ScalingLaw(
    curves=CURVES,
    epsilons=[0.1, 0.03, 0.01, 0.003],
    share=0.9,
    fit_epsilon=0.03,
    confidence=0.95,
    resamples=50,
    target_range=2.0,
    theorem="sums",
    closed_forms={"one": OneBestDirect(label="closed form")},
    law=LocalPoisson(draws=1000),
)
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")


@pytest.mark.slow
def test_the_points_are_the_smallest_n_that_serve_the_share() -> None:
    memory = Memory()
    outcome = STUDY.run(PROBLEM, {}, memory)
    assert len(outcome.rows) == len(memory.lines) == 12
    for name, curve in CURVES.items():
        hits = curve.hits(PROBLEM, np.array(STUDY.epsilons), Memory())
        for e, epsilon in enumerate(STUDY.epsilons):
            (line,) = (line for line in memory.lines if (line["curve"], line["epsilon"]) == (name, epsilon))
            (row,) = (row for row in outcome.rows if (row["label"], row["epsilon"]) == (curve.label, epsilon))
            if "n" not in line:
                assert row["n"] is None
                assert row["failures"] == hits.failures(curve.search.max_n)[e] > 0.1 * curve.instances
                continue
            n: Any = line["n"]
            assert hits.failures(n)[e] <= 0.1 * curve.instances < hits.failures(n - 1)[e]
            assert line["n_low"] <= n  # pyright: ignore[reportOperatorIssue]
            assert (row["n"], row["failures"]) == (n, hits.failures(n)[e])


@pytest.mark.slow
def test_the_fits_find_the_laws() -> None:
    """A wide margin: the intervals of these fits are several times narrower (the seed is fixed)."""
    summary: Any = STUDY.run(PROBLEM, {}, Memory()).summary
    assert 0.8 < summary["sums/C_low"] < summary["sums/C"] < summary["sums/C_high"] < 1.3
    assert 0.8 < summary["one/exponent_low"] < summary["one/exponent"] < summary["one/exponent_high"] < 1.2
    first = CURVES["sums"].hits(PROBLEM, np.array(STUDY.epsilons), Memory()).first
    used = [crossing(first[:, e], 0.9) for e in (1, 2, 3)]  # 0.1 is above fit_epsilon
    slope = np.polyfit(np.log2(1 / np.array(STUDY.epsilons[1:])), used, 1)[0]
    assert summary["sums/C"] == pytest.approx(slope)
    n = [row["n"] for row in STUDY.run(PROBLEM, {}, Memory()).rows[1:4]]
    assert summary["sums/C_form"] == pytest.approx(max(n / np.log2(2 / np.array([0.03, 0.01, 0.003]))))


@pytest.mark.slow
def test_the_law_predicts_points_and_fit() -> None:
    """By the numbers of the law alone: at most one n off, and the same line, with other draws, within 0.1."""
    outcome = STUDY.run(PROBLEM, {}, Memory())
    summary: Any = outcome.summary
    assert summary["sums/C_law"] == pytest.approx(summary["sums/C"], abs=0.1)
    assert "one/C_law" not in summary
    rows = {label: [row for row in outcome.rows if row["label"] == label] for label in CURVES}
    assert all(abs(row["n_law"] - row["n"]) <= 1 for row in rows["sums"])
    assert all(row["n_law"] is None for row in rows["one"])
    shares = STUDY.law.failures(CURVES["sums"], PROBLEM, np.array(STUDY.epsilons), Memory())  # pyright: ignore
    assert [row["n_law"] for row in rows["sums"]] == [int((shares[:, e] > 0.1).sum()) for e in range(4)]
    assert predicted_crossing(shares[:, 1], 0.9) == pytest.approx(rows["sums"][1]["n_law"] - 0.5, abs=0.5)
    silent = replace(STUDY, law=None, curves={"sums": CURVES["sums"]}).run(PROBLEM, {}, Memory())
    assert "sums/C_law" not in silent.summary
    assert all(row["n_law"] is None for row in silent.rows)
    measured = [{key: value for key, value in row.items() if key != "n_law"} for row in silent.rows]
    assert measured == [{key: value for key, value in row.items() if key != "n_law"} for row in rows["sums"]]


def test_an_epsilon_out_of_reach_is_said_and_not_fitted() -> None:
    memory = Memory()
    summary = STUDY.run(PROBLEM, {}, memory).summary
    assert "signs: 90 % not reached with n <= 6 at 0.1, 0.03, 0.01, 0.003" in memory.said
    assert "signs/C" not in summary
    assert summary["signs/C_form"] is None


def test_equal_seeds_give_equal_studies() -> None:
    small = replace(STUDY, curves={"sums": replace(CURVES["sums"], instances=200)})
    first, again = (small.run(PROBLEM, {}, Memory()) for _ in range(2))
    assert first.rows == again.rows
    assert {k: v for k, v in first.summary.items() if "time" not in k} == {
        k: v for k, v in again.summary.items() if "time" not in k
    }
    other = small.run(replace(PROBLEM, streams=Streams(1)), {}, Memory())
    assert first.rows != other.rows


@pytest.mark.slow
def test_the_figure_shows_points_limit_and_closed_form() -> None:
    outcome = STUDY.run(PROBLEM, {}, Memory())
    drawn = figure(outcome.points, outcome.figures["scaling_law"])
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert {"sums", "one", "closed form", "limit, log2(range / (2 epsilon))"} <= set(labels)
    assert "signs" not in labels  # it has no point


def test_the_range_of_real_weights_is_theirs() -> None:
    target = {"fc1.weight": np.linspace(-0.25, 0.25, 11)[None]}
    network = FullyConnected(inputs=11, hidden=1, outputs=1, depth=1, biases=False)
    study = replace(STUDY, target_range=None, curves={"sums": replace(CURVES["sums"], instances=50, targets=None)})
    outcome = study.run(replace(PROBLEM, target=target, network=network), {}, Memory())
    drawn: Any = figure(outcome.points, outcome.figures["scaling_law"])
    (limit,) = (line for line in drawn.axes[0].get_lines() if str(line.get_label()).startswith("limit"))
    np.testing.assert_allclose(limit.get_ydata(), np.log2(0.5 / (2 * np.array(STUDY.epsilons))))
    assert not any("closed form" in str(line.get_label()) for line in drawn.axes[1].get_lines())


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="descend"):
        replace(STUDY, epsilons=[0.01, 0.1])
    with pytest.raises(ConfigError, match="theorem"):
        replace(STUDY, theorem="summs")
    with pytest.raises(ConfigError, match="leave out compare"):
        STUDY.run(PROBLEM, {"random": RandomPruning.__new__(RandomPruning)}, Memory())
