"""Methods beside each other with the outputs of every point compared; widths of networks counted by hand."""

from dataclasses import replace
from typing import Any

import pytest
from recorders import Memory
from small_networks import FC, SMALL, dataset, target

import lth_runner as lth
from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.problem import Problem
from lth_runner.report.kinds.panels import figure
from lth_runner.studies.comparison import Comparison

PENSIA = method_of("pensia", {"n": 5})
BLOCK = method_of("block", {"n": 8, "block": 3})
STUDY = Comparison(
    axis="n", axis_label="n", values=[4], own_values={}, curves=["pensia", "block"], against="width", outputs=False,
    labels={}, laws={}, epsilon=0.01,
)  # fmt: skip


def problem() -> Problem:
    small = SMALL["fc"]
    return Problem(network=FC, target=target(small), data=dataset(small), streams=Streams(0), device="cpu")


def test_widths_are_hidden_neurons_for_each_input() -> None:
    """The network is 64-8-4; blocks of three inputs: 22 and 3 of them."""
    outcome = STUDY.run(problem(), {"pensia": PENSIA, "block": BLOCK}, Memory())
    rows: dict[str, Any] = {str(row["network"]): row for row in outcome.rows}
    assert rows["pensia"]["width"] == 10 and rows["block"]["width"] == pytest.approx(9 * 25 / 72)
    assert {"width", "changed"} <= set(outcome.columns)
    points: dict[Any, Any] = {point["curve"]: point for point in outcome.points}
    assert points["pensia"]["width"] == 8 and points["block"]["width"] == pytest.approx(5 * 25 / 72)
    for point in [*points.values(), rows["pensia"], rows["block"]]:
        assert point["changed"] == 1 - point["agreement"], "the outputs of points are compared too"
    description = outcome.figures["width"]
    assert [panel["y"] for panel in description["panels"]] == ["accuracy", "changed"]
    figure(outcome.points, description)


def test_points_have_the_outputs_that_a_row_of_their_own_has() -> None:
    axis = replace(STUDY, against="axis", outputs=True)
    outcome = axis.run(problem(), {"pensia": PENSIA, "block": BLOCK}, Memory())
    alone = axis.run(problem(), {"pensia": replace(PENSIA, n=4), "block": BLOCK}, Memory())
    (row,) = [row for row in alone.rows if row["network"] == "pensia"]
    assert outcome.points[0]["output_difference_mean"] == row["output_difference_mean"] > 0
    description = outcome.figures["curves"]
    assert [(panel["x"], panel["y"]) for panel in description["panels"]] == [
        ("n", "accuracy"), ("n", "output_difference_mean"),
    ]  # fmt: skip
    drawn: Any = figure(outcome.points, description)
    assert [line.get_ydata()[0] for line in drawn.axes[1].get_lines()] == [
        point["output_difference_mean"] for point in outcome.points
    ]


@pytest.mark.parametrize("halves", ["both", "positive"])
def test_widths_are_those_of_the_module(halves: str) -> None:
    small = SMALL["fc"]
    found = lth.find("pensia", FC, n=4, halves=halves, target=target(small), data=dataset(small), progress=False)
    architecture = found.ticket.ticket.architecture
    assert isinstance(architecture, TwoLayerExpansion)
    splits = [part for name, part in architecture.module().named_parameters() if name.endswith("split.weight")]
    hidden, coordinates = (sum(part.shape[axis] for part in splits) for axis in (0, 1))
    assert architecture.hidden_per_input == hidden / coordinates


def test_what_adds_no_neurons_has_no_width() -> None:
    with pytest.raises(ConfigError, match="for methods that add hidden neurons"):
        replace(STUDY, curves=[]).run(problem(), {"closest": method_of("subset_sum", {"n": 4})}, Memory())
