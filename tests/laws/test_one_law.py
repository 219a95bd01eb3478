"""The comparison of measured and predicted quantiles, on few instances."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from poisson_samples import best_errors as enumerated
from poisson_samples import uniform
from recorders import Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.signs import Signs
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.instances import Direct, Products
from lth_runner.laws.one_law import Numbers, OneLaw, Targets, best_errors, holds_from
from lth_runner.laws.poisson.quenched import mean_failure, tilted
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.search.random_pruning import RandomPruning
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM = Uniform(low=-1.0, high=1.0)
STUDY = OneLaw(
    numbers={
        "uniform": Numbers(label="U", law=Direct(distribution=UNIFORM), n=[6, 14]),
        "products": Numbers(label="products", law=Products(twin=False, signs="reserved", distribution=UNIFORM), n=[28]),
        "signs": Numbers(label="signs", law=Direct(distribution=Signs(size=1.0)), n=[8]),
    },
    targets={"bulk": Targets(label="bulk", span=[-1.0, 1.0]), "weights": Targets(label="weights", span=None)},
    levels=[0.25, 0.5],
    instances=2000,
    confidence=0.95,
    holds_within=0.05,
    solver=MeetInMiddle(),
)
TARGET = {"fc1.weight": np.linspace(-0.25, 0.25, 11)[None]}
NETWORK = FullyConnected(inputs=11, hidden=1, outputs=1, depth=1, biases=False)
PROBLEM = Problem(network=NETWORK, target=TARGET, data=None, streams=Streams(0), device="cpu")


@pytest.mark.slow
def test_ratios_are_one_where_the_law_holds_and_not_for_signs() -> None:
    outcome = STUDY.run(PROBLEM, {}, Memory())
    assert len(outcome.points) == 4 * 2 * 2
    for point in outcome.points:
        assert point["given_low"] <= point["given_ratio"] <= point["given_high"]
        assert point["given_ratio"] == pytest.approx(point["error"] / point["given_error"])
        if point["curve"] == "signs":
            assert point["given_low"] > 2
        elif point["n"] > 6:  # four intervals' half widths
            half = (point["given_high"] - point["given_low"]) / 2
            assert abs(point["given_ratio"] - 1) < 0.05 + 2 * half
    assert outcome.summary["uniform/bulk/given_holds_from_n"] in (6, 14)
    assert outcome.summary["signs/bulk/given_holds_from_n"] is None
    assert [row["n"] for row in outcome.rows] == [6, 14, 6, 14, 28, 28, 8, 8]
    drawn: Any = figure(outcome.points, outcome.figures["one_law"])
    assert len(drawn.axes) == 4
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert {"U", "products", "signs"} < set(labels)


def test_the_prediction_is_that_of_the_very_numbers() -> None:
    study = replace(STUDY, numbers={"uniform": replace(STUDY.numbers["uniform"], n=[9])}, instances=50)
    (point, _), (again, _) = (
        [p for p in study.run(PROBLEM, {}, Memory()).points if p["panel"] == "bulk"] for _ in range(2)
    )
    assert point == again
    path = ("one law", "uniform", "bulk", "9")
    values = UNIFORM.quantile(PROBLEM.streams.uniform((*path, "values", "first"), 0, 450)).reshape(9, 50).T
    levels = PROBLEM.streams.uniform((*path, "targets"), 0, 50)
    law = tilted(values, np.sqrt(9 / 12) * (2 * levels - 1))
    assert mean_failure(law, point["given_error"])[0] == pytest.approx(0.75, abs=0.02)


def test_zeros_are_left_out_of_the_search() -> None:
    values, targets = uniform(1, 40, 8) * (uniform(2, 40, 8) > 0), uniform(3, 40)
    values[0] = 0
    np.testing.assert_allclose(best_errors(MeetInMiddle(), values, targets), enumerated(values, targets), atol=1e-15)


def test_the_law_holds_from_the_n_after_which_it_never_fails() -> None:
    ratios = {6: (0.8, 0.9), 8: (0.97, 1.2), 10: (1.06, 1.1), 12: (1.04, 1.2), 16: (0.9, 0.96)}
    rows = [{"n": n, "given_low": low, "given_high": high} for n, (low, high) in ratios.items()]
    assert holds_from(rows, "given", 0.05) == 12
    assert holds_from(rows[:3], "given", 0.05) is None


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="ascending"):
        Numbers(label="U", law=Direct(distribution=UNIFORM), n=[8, 6])
    with pytest.raises(ConfigError, match="span"):
        Targets(label="bulk", span=[1.0, -1.0])
    with pytest.raises(ConfigError, match="must not be empty"):
        replace(STUDY, levels=[])
    with pytest.raises(ConfigError, match="there is none"):
        STUDY.run(replace(PROBLEM, target=None, network=None), {}, Memory())
    with pytest.raises(ConfigError, match="leave out compare"):
        STUDY.run(PROBLEM, {"random": RandomPruning.__new__(RandomPruning)}, Memory())
