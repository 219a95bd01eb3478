"""What a comparison puts beside its curves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plain_choice import ONE_BY_ONE, UNMATCHED
from recorders import Memory

from lth_runner.config.build import build
from lth_runner.config.compose import composed
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.target_range import TargetRange
from lth_runner.laws.instances import Direct
from lth_runner.laws.weight_errors import SubsetErrors
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Method, Problem
from lth_runner.report.draw import figure
from lth_runner.report.laws import LAW_LABEL
from lth_runner.run import build_methods
from lth_runner.studies.comparison import LAW, Comparison
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle
from lth_runner.ticket.names import recipe

NETWORK = FullyConnected(inputs=16, hidden=80, outputs=4, depth=2, biases=False)
OF_TARGET = Direct(distribution=TargetRange())
LAWS: Any = {
    "closest": SubsetErrors(law=OF_TARGET, per_n=1, most=None, draws=1600, holds_for={"mask": "zero_one", "stored": []})
}


def comparison(**changes: Any) -> Comparison:
    fixed: dict[str, Any] = {
        "axis": "n", "axis_label": "n", "values": [11, 14], "own_values": {}, "curves": ["closest"], "against": "axis",
        "outputs": False, "labels": {}, "laws": LAWS, "epsilon": 0.01,
    }  # fmt: skip
    return Comparison(**{**fixed, **changes})


def parts() -> tuple[Problem, dict[str, Method]]:
    data = Synthetic(train_count=8, test_count=20, side=4, classes=4, seed=0, noise=0.2).load(lambda line: None)
    rng = np.random.default_rng(1)
    target = {name: rng.normal(0, 0.1, shape) for name, shape in (("fc1.weight", (80, 16)), ("fc2.weight", (4, 80)))}
    closest = SubsetSum(
        objective="closest", epsilon=0.01, c=3, n=11, stored=[], sharing="weight", threshold_small=False,
        distribution=TargetRange(), solver=MeetInMiddle(), **UNMATCHED, **ONE_BY_ONE,
    )  # fmt: skip
    problem = Problem(network=NETWORK, target=target, data=data, streams=Streams(0), device="cpu")
    return problem, {"closest": closest}


@pytest.mark.slow
def test_a_law_predicts_the_median_weight_error() -> None:
    """1,600 weights: the median of an exponential is known to 15 % with probability 1 - 1e-4, the law to 5 %."""
    outcome = comparison().run(*parts(), Memory())
    assert [point["n"] for point in outcome.points] == [11, 14]
    for point in outcome.points:
        assert point["weight_error_median"] == pytest.approx(point[LAW], rel=0.2)
    drawn = figure(outcome.points, outcome.figures["curves"])
    assert LAW_LABEL in [text.get_text() for text in drawn.legends[0].get_texts()]
    assert all(LAW not in row for row in outcome.rows)


@pytest.mark.slow
def test_a_law_of_n_says_nothing_over_another_axis() -> None:
    outcome = comparison(axis="epsilon", values=[0.01]).run(*parts(), Memory())
    assert all(LAW not in point for point in outcome.points)
    drawn = figure(outcome.points, outcome.figures["curves"])
    assert LAW_LABEL not in [text.get_text() for text in drawn.legends[0].get_texts()]


@pytest.mark.slow
def test_a_law_says_nothing_of_a_method_that_it_is_not_for() -> None:
    problem, methods = parts()
    closest: Any = methods["closest"]
    recorder = Memory()
    outcome = comparison(values=[6]).run(problem, {"closest": replace(closest, mask="signs")}, recorder)
    assert all(LAW not in point for point in outcome.points)
    assert "no line of the law beside closest: it has mask=signs (not zero_one)" in recorder.said


def test_a_law_needs_settings_that_there_are() -> None:
    laws = {"closest": replace(LAWS["closest"], holds_for={"masks": "zero_one"})}
    with pytest.raises(ConfigError, match=r"holds_for.*did you mean mask"):
        comparison(laws=laws).check(parts()[1])


def test_a_law_goes_with_its_method_and_its_curve() -> None:
    """As in `~compare.closest`, and `study.curves=[]`."""
    _, methods = parts()
    comparison(curves=[]).check(methods)
    comparison(curves=[]).check({})


@pytest.mark.parametrize("experiment", ["mnist_fc", "malach_comparison"])
def test_laws_of_experiments_are_for_their_methods(experiment: str) -> None:
    config = composed([f"experiment={experiment}"])
    study, methods = build(config["study"], "study"), build_methods(config)
    study.check(methods)
    assert study.laws
    for name, law in study.laws.items():
        has = recipe(methods[name])
        assert {key: has[key] for key in law.holds_for} == law.holds_for
