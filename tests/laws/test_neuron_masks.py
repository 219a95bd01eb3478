"""The study of masks for one neuron: nested networks, points with intervals, and which form of price fits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorders import Fragile, Killed, Memory

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.laws.neuron_masks import BOUND, NEURON, WEIGHT, Inputs, NeuronMasks, forms, told
from lth_runner.laws.one_neuron.neuron_mask import Network, best_neurons
from lth_runner.laws.one_neuron.weight_mask import product_mask_error
from lth_runner.laws.statistics import Estimate
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.search.random_pruning import RandomPruning
from lth_runner.subset_sum.interface import SubsetSumSolver
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

UNIFORM = Uniform(low=-1.0, high=1.0)
STUDY = NeuronMasks(
    numbers=UNIFORM,
    targets=UNIFORM,
    sizes={
        "one": Inputs(inputs=1, best=[6, 9, 12, 14], bound=[], part=1, weight=[6, 9, 12, 14]),
        "two": Inputs(inputs=2, best=[6, 10], bound=[12, 16], part=8, weight=[]),
    },
    networks=7,
    nodes=100_000,
    tries=2,
    fit_from=9,
    confidence=0.9,
    resamples=50,
    solver=MeetInMiddle(),
)
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(0), device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return STUDY.run(PROBLEM, {}, Memory(tmp_path_factory.mktemp("done")))


def test_points_are_medians_with_intervals(done: Any) -> None:
    keys = [(p["panel"], p["curve"], p["n"]) for p in done.points]
    one = [("1", curve, n) for curve in (NEURON, WEIGHT) for n in (6, 9, 12, 14)]
    assert keys == [*one, ("2", NEURON, 6), ("2", NEURON, 10), ("2", BOUND, 12), ("2", BOUND, 16)]
    assert all(p["low"] <= p["error"] <= p["high"] for p in done.points)
    assert {p["proved"] for p in done.points if p["curve"] == NEURON} == {1}
    errors = []
    for r in range(7):
        network = STUDY.network(PROBLEM.streams, 2, r, 10)
        errors.append(best_neurons(network, np.zeros(10, bool), 10**6).error)
    (point,) = (p for p in done.points if (p["panel"], p["curve"], p["n"]) == ("2", NEURON, 10))
    assert point["error"] == pytest.approx(np.median(errors))


def test_a_larger_network_is_no_worse_and_begins_as_the_smaller_one(done: Any) -> None:
    small, large = (STUDY.network(PROBLEM.streams, 2, 3, n) for n in (5, 9))
    np.testing.assert_array_equal(large.first[:5], small.first)
    np.testing.assert_array_equal(large.second[:5], small.second)
    np.testing.assert_array_equal(large.target, small.target)
    for curve, panel in ((NEURON, "1"), (NEURON, "2"), (BOUND, "2")):
        errors = [p["error"] for p in done.points if (p["curve"], p["panel"]) == (curve, panel)]
        assert errors == sorted(errors, reverse=True)


def _without_times(points: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in point.items() if key != "time_s"} for point in points]


def test_a_run_that_was_killed_goes_on_after_its_last_network(
    done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Network] = []

    def counted(network: Network, solver: SubsetSumSolver) -> float:
        searched.append(network)
        return product_mask_error(network, solver)

    monkeypatch.setattr("lth_runner.laws.neuron_masks.product_mask_error", counted)
    with pytest.raises(Killed):
        STUDY.run(PROBLEM, {}, Fragile(tmp_path, lines=(7 + 3) * 4))  # 4 lines a network: in the midst of weight masks
    again = STUDY.run(PROBLEM, {}, Memory(tmp_path))
    assert len(searched) == 4 * 7, "no network twice"
    assert _without_times(again.points) == _without_times(done.points)
    assert again.summary == done.summary
    other = STUDY.run(replace(PROBLEM, streams=Streams(1)), {}, Memory(tmp_path))
    assert len(searched) == 2 * 4 * 7, "those of another seed are not taken"
    assert other.summary != done.summary


def test_with_one_input_the_masks_agree(done: Any) -> None:
    neuron, weight = (
        [p["error"] for p in done.points if (p["panel"], p["curve"]) == ("1", c)] for c in (NEURON, WEIGHT)
    )
    np.testing.assert_allclose(neuron, weight, atol=1e-12)
    assert done.summary["1/neuron/bits_per_neuron"] == pytest.approx(done.summary["1/weight/bits_per_neuron"])
    assert "2/neuron/exponent" not in done.summary  # two numbers are too few for a fit


def test_each_form_is_recognised() -> None:
    n = np.array([8, 16, 24, 48])
    exponent, _, power = forms(n)(3 * n[None] ** -1.5)
    assert (exponent, power) == (pytest.approx(1.5), 1)
    _, bits, power = forms(n)(np.tile(5 * 2.0 ** (-0.25 * n), (3, 1)))
    assert (bits, power) == (pytest.approx(0.25), 0)
    sure, other = Estimate(1.0, 0.9, 1.1), Estimate(0.1, 0.0, 0.2)
    assert told([sure, other, Estimate(1.0, 1.0, 1.0)]).endswith("1/epsilon fits better")
    assert told([sure, other, Estimate(0.0, 0.0, 0.0)]).endswith("log(1/epsilon) fits better")
    assert told([sure, other, Estimate(1.0, 0.0, 1.0)]).endswith("cannot be told")


def test_the_figure_has_a_row_for_either_form(done: Any) -> None:
    drawn = figure(done.points, done.figures["neuron_masks"])
    axes = [place for place in drawn.axes if place.get_visible()]
    assert [place.get_xscale() for place in axes] == ["linear", "linear", "log", "log"]
    shaded = np.asarray(axes[0].collections[0].get_paths()[0].vertices)
    lows = [p["low"] for p in done.points if (p["panel"], p["curve"]) == ("1", NEURON)]
    assert np.isin(lows, shaded[:, 1]).all()


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="must ascend"):
        Inputs(inputs=2, best=[8, 6], bound=[], part=1, weight=[])
    with pytest.raises(ConfigError, match="at least as large"):
        Inputs(inputs=2, best=[], bound=[6], part=8, weight=[])
    with pytest.raises(ConfigError, match="at most 3"):
        Inputs(inputs=4, best=[], bound=[], part=1, weight=[])
    with pytest.raises(ConfigError, match="sizes must not be empty"):
        replace(STUDY, sizes={})
    with pytest.raises(ConfigError, match="leave out compare"):
        STUDY.run(PROBLEM, {"random": RandomPruning.__new__(RandomPruning)}, Memory())
