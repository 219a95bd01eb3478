"""Searches at equal bits: every row is the mean of tickets found alone, with the bits that they are counted to have."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from recorders import Memory
from searching import DATA, EDGE_POPUP, problem

import lth_runner
from lth_runner.config.compose import composed
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.bits import bits
from lth_runner.measure.ticket import network_accuracy
from lth_runner.networks.mlp import Mlp
from lth_runner.report.draw import figure
from lth_runner.report.tables import csv_rows
from lth_runner.search.slot_machine import SlotMachine
from lth_runner.studies.equal_bits import EqualBits
from lth_runner.studies.tuning import JUDGED_BY
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import materialise

RESULTS = Path(lth_runner.__file__).parents[1] / "results"
COMMON: dict[str, Any] = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)}
COMMON |= {"epochs": 1, "batch": 40, "density": 0.5}
METHODS: dict[str, Any] = {
    "edge_popup": replace(EDGE_POPUP, epochs=1, batch=40, density=0.5),
    "slots": SlotMachine(**{**COMMON, "density": 1.0, "scores": Uniform(low=0.0, high=0.1)}, values=2),
}
DEEP = Mlp(inputs=36, hidden=[16, 12], outputs=10, biases=False)
STUDY = EqualBits(networks={"plain": None, "deep": DEEP}, repeats=2, labels={"slots": "slot machine"})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return STUDY.run(problem(3), METHODS, Memory(tmp_path_factory.mktemp("bits")))


def test_a_row_for_each_method_on_each_network(done: Outcome) -> None:
    found = [(row["network"], row["method"]) for row in done.rows]
    assert found == [(network, name) for network in ("plain", "deep") for name in ("edge_popup", "slot machine")]
    assert len(done.points) == 8 and {point["seed"] for point in done.points} == {3, 4}


def test_a_row_is_the_mean_of_its_tickets(done: Outcome, tmp_path: Path) -> None:
    accuracies, costs = [], []
    for seed in (3, 4):
        posed = replace(problem(), network=DEEP, streams=Streams(seed))
        ticket = METHODS["slots"].find(posed, Memory(tmp_path)).ticket
        accuracies.append(network_accuracy(materialise(ticket).module(), DATA))
        costs.append(bits(ticket)["bits_per_weight"])
    row = done.rows[3]
    assert row["accuracy"] == sum(accuracies) / 2 and row["bits_per_weight"] == sum(costs) / 2
    assert (row["lowest"], row["highest"]) == (min(accuracies), max(accuracies))
    assert done.summary["deep/slots/accuracy"] == row["accuracy"]
    assert f"{row['bits_per_weight']:.3f}" in done.texts["equal_bits.md"]


def test_edge_popup_at_half_and_two_numbers_each_cost_as_much(done: Outcome) -> None:
    """One bit; beside it stand the seed, one number for each law, and the two patterns of two numbers."""
    popup, slots = done.rows[0]["bits_per_weight"], done.rows[1]["bits_per_weight"]
    assert slots - popup == pytest.approx(2 * 4 / 920, rel=1e-9)
    assert popup == pytest.approx(1 + (64 + 2 * 64) / 920, rel=1e-9)


def test_the_figure_has_a_dot_for_each_row_and_its_range_over_seeds(done: Outcome) -> None:
    """One method is far below the other, by how far the accuracies of its points are moved."""
    points = [
        {**point, "accuracy": point["accuracy"] / (4 if point["curve"] == "slots" else 1)} for point in done.points
    ]
    drawn: Any = figure(points, done.figures["equal_bits"])
    assert [axes.get_title() for axes in drawn.axes] == ["plain", "deep"]
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()] == ["edge_popup", "slot machine"]
    for axes, (popup, slots) in zip(drawn.axes, (done.rows[:2], done.rows[2:]), strict=True):
        (dot,), (span,) = axes.get_lines(), axes.collections
        assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (pytest.approx(100 * popup["accuracy"]), 0)
        assert span.get_segments()[0][:, 0] == pytest.approx([100 * popup["lowest"], 100 * popup["highest"]])
        left, right = axes.get_xlim()
        assert left < 100 * popup["lowest"] and 100 * popup["highest"] < right
        told = [text.get_text() for text in axes.texts]
        assert f"\u2190 {25 * slots['accuracy']:.1f}" in told
        assert {f"{row['bits_per_weight_coded']:.2f}" for row in (popup, slots)} <= set(told)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"study\.repeats"):
        replace(STUDY, repeats=0)
    with pytest.raises(ConfigError, match=r"study\.labels"):
        STUDY.check({"edge_popup": METHODS["edge_popup"]})
    with pytest.raises(ConfigError, match="no method was chosen"):
        replace(STUDY, labels={}).check({})


def test_the_searches_of_the_table_are_those_that_were_tuned_at_their_best() -> None:
    shown, tuned = (composed([f"experiment={name}"]) for name in ("equal_bits", "tune_equal_bits"))
    assert tuned["seed"] not in range(shown["seed"], shown["seed"] + shown["study"]["repeats"])
    assert shown["study"]["labels"] == tuned["study"]["labels"]
    tries = csv_rows((RESULTS / "equal_bits" / "tuning.csv").read_text(), ["network", "best"])
    for name, search in tuned["compare"].items():
        own = [row for row in tries if row["network"] == tuned["study"]["labels"][name]]
        assert [row["learning_rate"] for row in own] == tuned["study"]["settings"]["learning_rate"]
        best = max(own, key=lambda row: row[JUDGED_BY])
        assert best["best"] == "best"
        assert shown["compare"][name] == {**search, "learning_rate": best["learning_rate"]}
