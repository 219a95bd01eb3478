"""Find versus exist: the search works on the very weights of the construction, with its number of them."""

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_choice import DOUBLED, ONE_BY_ONE, PLAIN_PATHS
from recorders import Memory

from lth_runner.config.compose import method_of
from lth_runner.construct.malach import Malach
from lth_runner.construct.malach_pairs import MalachPairs
from lth_runner.construct.pensia import Pensia
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.target_range import TargetRange
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.ticket import measure_target
from lth_runner.networks.fc import FullyConnected
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.report.plots import save_figure
from lth_runner.report.points import points_csv
from lth_runner.search import score_search
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.scored import ScoredNetwork
from lth_runner.studies.find_versus_exist import COLUMNS, FindVersusExist
from lth_runner.studies.trial import CURVES, Trial, signal_gains
from lth_runner.study import Outcome
from lth_runner.targets.synthetic import SyntheticTarget
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.ticket import Ticket

DATA = Synthetic(train_count=200, test_count=100, side=4, classes=10, seed=0, noise=0.2).load(lambda line: None)
NETWORK = FullyConnected(inputs=16, hidden=6, outputs=10, depth=2, biases=False)
EXISTS = Pensia(**PLAIN_PATHS | DOUBLED | {"n": 6, "halves": "positive", "signs": "reserved"})
SEARCH = EdgePopup(
    density=0.5, scope="layer", epochs=2, batch=32, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, validation=50,
    distribution=Uniform(low=-1.0, high=1.0), scores=Uniform(low=-0.3, high=0.3), frozen=[],
    biases="zero",
)  # fmt: skip
METHODS: dict[str, Any] = {"exists": EXISTS, "search": SEARCH}
STUDY = FindVersusExist(
    values=[4, 8], axis_label="n", repeats=2, labels={name: f"the {name}" for name in CURVES}, epsilon=0.01
)


def problem(seed: int = 3, **changes: Any) -> Problem:
    target = SyntheticTarget(gain=2**0.5).weights(NETWORK, None, Streams(0), "cpu", Memory())
    return replace(Problem(network=NETWORK, target=target, data=DATA, streams=Streams(seed), device="cpu"), **changes)


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(EXISTS, SEARCH, problem(), 0.01, Memory())


@pytest.fixture(scope="module")
def tickets(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Ticket, Memory]]:
    """The ticket of every curve, and what was recorded while it was sought."""
    recorders = {name: Memory(tmp_path_factory.mktemp(name)) for name in CURVES}
    return {name: (find(trial, recorders[name]), recorders[name]) for name, find in CURVES.items()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Memory]:
    recorder = Memory(tmp_path_factory.mktemp("study"))
    return STUDY.run(problem(), METHODS, recorder), recorder


def test_all_tickets_are_of_the_same_weights(tickets: dict[str, tuple[Ticket, Memory]]) -> None:
    given = tickets["exists"][0]
    assert given.seed == 3
    for ticket, _ in tickets.values():
        assert ticket.architecture == given.architecture
        assert ticket.random.keys() == given.random.keys()
        for name, drawn in given.random.items():
            drawn, same = ticket.random[name].draw(ticket.seed), drawn.draw(3)
            assert drawn.tobytes() == same.tobytes()


@pytest.mark.parametrize("curve", ["all", "layers", "sums"])
def test_scores_are_trained_on_those_weights_times_the_gains(
    curve: str, trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[ScoredNetwork] = []

    def remembered(network: ScoredNetwork, *arguments: Any, **named: Any) -> ScoreTraining:
        networks.append(network)
        return ScoreTraining(network, *arguments, **named)

    monkeypatch.setattr(score_search, "ScoreTraining", remembered)
    CURVES[curve](trial, Memory(tmp_path))
    (network,) = networks
    assert list(network.scores) == [name for name in trial.constructed.random if curve != "sums" or ".sum." in name]
    for name in network.scores:
        drawn = torch.from_numpy(trial.constructed.random[name].draw(3))
        gains = network.module.get_parameter(name) / drawn
        assert float(gains.min()) > 0
        torch.testing.assert_close(gains, gains.flatten()[0].expand_as(gains), rtol=1e-5, atol=0)


@pytest.mark.parametrize("curve", ["layers", "sums", "random"])
def test_every_tensor_keeps_as_many(curve: str, tickets: dict[str, tuple[Ticket, Memory]]) -> None:
    given, found = tickets["exists"][0], tickets[curve][0]
    assert {name: mask.kept() for name, mask in found.masks.items()} == {
        name: mask.kept() for name, mask in given.masks.items()
    }
    assert any(mask.bits.tobytes() != given.masks[name].bits.tobytes() for name, mask in found.masks.items())


def test_together_as_many_are_kept(tickets: dict[str, tuple[Ticket, Memory]]) -> None:
    given, found = tickets["exists"][0], tickets["all"][0]
    assert found.kept() == given.kept()
    density = given.kept() / given.offered()
    assert any(abs(mask.kept() - density * mask.size) > 1 for mask in found.masks.values()), "tensors compete"


def test_the_structure_is_given(tickets: dict[str, tuple[Ticket, Memory]]) -> None:
    given, found = tickets["exists"][0], tickets["sums"][0]
    for name, mask in found.masks.items():
        assert (mask.bits.tobytes() == given.masks[name].bits.tobytes()) == (".split." in name)


@pytest.mark.parametrize("curve", ["all", "layers", "sums"])
def test_the_ticket_is_as_accurate_as_what_was_trained(
    curve: str, trial: Trial, tickets: dict[str, tuple[Ticket, Memory]]
) -> None:
    """Gains or not: one positive factor changes no decision."""
    ticket, recorder = tickets[curve]
    assert trial._accuracy(materialise(ticket)) == recorder.lines[-1]["test_accuracy"]
    assert len(recorder.lines) == SEARCH.epochs


def test_the_second_construction_is_another_answer_to_the_same_sums(
    trial: Trial, tickets: dict[str, tuple[Ticket, Memory]]
) -> None:
    """Its first weights are the same; every sum is another subset, and none comes nearer than the closest."""
    first, second = tickets["exists"][0], tickets["second"][0]
    assert trial.problem.target is not None
    one, other = (
        {name: found - trial.problem.target[name] for name, found in materialise(ticket).readings.items()}
        for ticket in (first, second)
    )
    for name in ("fc1", "fc2"):
        split, total = f"{name}.split.weight", f"{name}.sum.weight"
        assert first.masks[split].bits.tobytes() == second.masks[split].bits.tobytes()
        outputs, hidden = first.masks[total].shape
        per_sum = (outputs, hidden // EXISTS.n, EXISTS.n) if EXISTS.n else ()  # one sign: no inputs are negative
        differs = (first.masks[total].dense() != second.masks[total].dense()).reshape(per_sum).any(axis=2)
        usable = first.masks[split].dense().reshape(*per_sum[1:], -1).any(axis=(1, 2))
        assert (differs == usable).all(), "where there is a path at all"
        assert (np.abs(other[f"{name}.weight"]) >= np.abs(one[f"{name}.weight"]) - 1e-12).all()


def test_two_constructions_compute_nearly_the_same_and_a_search_does_not(trial: Trial, tmp_path: Path) -> None:
    """What masks share says nothing of that: effective weights do."""
    many = Trial(replace(EXISTS, n=24), SEARCH, trial.problem, 0.01, Memory())
    second, random = (many.point(curve, Memory(tmp_path)) for curve in ("second", "random"))
    assert second["effective_correlation"] > 0.99 > 0.5 > random["effective_correlation"]
    assert second["effective_difference"] < 0.1 < 1 < random["effective_difference"]
    assert second["overlap_sums"] < 0.75
    assert second["kept"] > 0 and second["weight_error_max"] is not None


def test_a_construction_without_a_solver_has_no_second(tmp_path: Path) -> None:
    pairs = MalachPairs(
        stored=[], epsilon=0.01, c=3, n=4, halves="positive", signs="reserved",
        distribution=Uniform(low=-1.0, high=1.0),
    )  # fmt: skip
    outcome = replace(STUDY, values=[4], repeats=1).run(problem(), {**METHODS, "exists": pairs}, Memory(tmp_path))
    assert list(dict.fromkeys(point["curve"] for point in outcome.points)) == [c for c in CURVES if c != "second"]


def test_gains_keep_the_size_of_signals(trial: Trial) -> None:
    """With all weights kept, the mean square that a layer puts out is about that of its input, whatever the law."""
    ticket = trial.constructed
    gains = signal_gains(ticket, trial.expansion, dict.fromkeys(ticket.weights, 1.0))
    whole = ticket.architecture.module().requires_grad_(False)
    state = {name: torch.from_numpy(t.draw(ticket.seed) * gains[name]).float() for name, t in ticket.random.items()}
    whole.load_state_dict(state)
    x = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (400, 1, 4, 4))).float()
    ratio = float((whole(x) ** 2).mean() / (x**2).mean())
    assert 1 / 4 < ratio < 16  # four random layers, the last one not halved by a ReLU: about 2 on average


def test_gains_count_kept_inputs(trial: Trial) -> None:
    ticket = trial.constructed
    few, many = (
        signal_gains(ticket, trial.expansion, dict.fromkeys(ticket.weights, density)) for density in (0.001, 0.5)
    )
    for name, tensor in ticket.weights.items():
        fan = math.prod(tensor.shape[1:])
        assert few[name] / many[name] == pytest.approx(math.sqrt(0.5 * fan)), "never fewer than one input"


def test_a_point_is_its_ticket(trial: Trial, tickets: dict[str, tuple[Ticket, Memory]], tmp_path: Path) -> None:
    given, found = (
        {name: mask.dense() for name, mask in tickets[curve][0].masks.items()} for curve in ("exists", "layers")
    )
    point = trial.point("layers", Memory(tmp_path))
    assert point["kept"] == tickets["exists"][0].kept()
    shared = {name: int((given[name] & found[name]).sum()) for name in given}
    assert point["overlap"] == sum(shared.values()) / point["kept"]
    for name, mask in given.items():
        assert point[f"overlap_{name}"] == shared[name] / mask.sum()
        assert point[f"overlap_{name}_chance"] == pytest.approx(mask.mean()), "as many of both"
    sums = [name for name in given if ".sum." in name]
    assert point["overlap_sums"] == sum(shared[name] for name in sums) / sum(given[name].sum() for name in sums)


@pytest.mark.parametrize("curve", ["second", "sums"])
def test_given_structure_is_no_overlap_and_no_chance(
    curve: str, trial: Trial, tickets: dict[str, tuple[Ticket, Memory]], tmp_path: Path
) -> None:
    point = trial.point(curve, Memory(tmp_path))
    assert not [key for key in point if ".split." in key]
    assert point["overlap"] == point["overlap_sums"]
    given, found = ({name: mask.dense() for name, mask in tickets[c][0].masks.items()} for c in ("exists", curve))
    for layer in ("fc1", "fc2"):
        neurons = given[f"{layer}.split.weight"].any(axis=1)
        open_to_it = found[f"{layer}.sum.weight"][:, neurons]
        assert point[f"overlap_{layer}.sum.weight_chance"] == pytest.approx(open_to_it.mean())


@pytest.mark.slow
def test_random_masks_share_what_chance_says() -> None:
    """Mean of 40 masks; the chance that it is 5 standard errors off is below 1e-6."""
    shared, chance = [], 0.0
    for seed in range(40):
        point = Trial(EXISTS, SEARCH, problem(seed), 0.01, Memory()).point("random", Memory())
        shared.append(point["overlap"] - point["overlap_chance"])
        chance += point["overlap_chance"] / 40
    assert abs(np.mean(shared)) < 5 * np.std(shared) / math.sqrt(40)
    assert 0.05 < chance < 0.5


@pytest.mark.slow
def test_every_curve_has_every_n_and_seed(done: tuple[Outcome, Memory]) -> None:
    lines = list(csv.DictReader(points_csv(done[0].points).splitlines()))
    assert list(lines[0]) == list(COLUMNS)
    found = [(line["curve"], int(line["n"]), int(line["seed"])) for line in lines]
    assert sorted(found) == sorted((curve, n, seed) for curve in CURVES for n in (4, 8) for seed in (3, 4))
    assert {(line["curve"], line["n"], line["seed"]) for line in done[1].lines if "curve" in line} == set(found)


def test_rows_are_means(done: tuple[Outcome, Memory]) -> None:
    outcome, recorder = done
    assert outcome.rows[0]["network"] == "target"
    assert outcome.rows[0]["accuracy"] == measure_target(problem())["accuracy"]
    rows = {row["network"]: row for row in outcome.rows}
    assert len(rows) == 1 + 2 * len(CURVES)
    points = [line for line in recorder.lines if line.get("curve") == "sums" and line.get("n") == 8]
    accuracies: list[Any] = [point["accuracy"] for point in points]
    assert rows["n = 8, the sums"]["accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert outcome.summary["sums/8/accuracy_max"] == max(accuracies)
    table = outcome.texts["find_versus_exist.md"]
    assert table.count("\n| the ") == 2 * len(CURVES)
    assert f"| the exists | 8 | {points[0]['offered']:,} |" in table


@pytest.mark.slow
def test_the_figure_is_drawn(done: tuple[Outcome, Memory], tmp_path: Path) -> None:
    drawn = figure(done[0].points, done[0].figures["find_versus_exist"])
    png, _ = save_figure(drawn, tmp_path / "figure")
    assert png.stat().st_size > 10_000
    overlap: Any = drawn.axes[-1]
    assert "found too" in overlap.get_ylabel()
    assert len(overlap.lines) == 2 * (len(CURVES) - 1) + 1, "each with its chance, and a line for the legend"


class Cut(Memory):
    """A recorder in whose hands the run ends, after the third point."""

    def say(self, line: str) -> None:
        super().say(line)
        if sum(": accuracy" in said for said in self.said) == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_second_attempt_finds_only_what_is_missing(done: tuple[Outcome, Memory], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        STUDY.run(problem(), METHODS, Cut(tmp_path))
    recorder = Memory(tmp_path)
    outcome = STUDY.run(problem(), METHODS, recorder)
    assert any("3 parts of this study were finished before" in line for line in recorder.said)
    assert len(recorder.bars) < len(done[1].bars)
    assert outcome.texts == done[0].texts
    assert outcome.points == done[0].points
    assert outcome.figures == done[0].figures
    assert outcome.summary == done[0].summary


@pytest.mark.slow
def test_points_of_another_target_are_not_taken(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        STUDY.run(problem(), METHODS, Cut(tmp_path))
    recorder = Cut(tmp_path)
    posed = problem()
    assert posed.target is not None
    with pytest.raises(KeyboardInterrupt):
        STUDY.run(replace(posed, target={name: -w for name, w in posed.target.items()}), METHODS, recorder)
    assert not any("finished before" in line for line in recorder.said)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": None}, "add target=trained"),
        ({"data": None}, "data=mnist"),
        ({"network": replace(NETWORK, biases=True)}, "network.biases=false"),
    ],
)
def test_problems_it_cannot_take(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        STUDY.run(problem(**changes), METHODS, Memory(tmp_path))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({}, "got none"),
        ({"exists": EXISTS}, "compare.search"),
        ({"exists": EXISTS, "search": EXISTS}, "one that trains scores"),
        ({**METHODS, "more": SEARCH}, "got exists, search, more"),
        ({"exists": EXISTS, "search": method_of("multicoated", {})}, "subsets of the random weights"),
        ({"exists": SEARCH, "search": SEARCH}, "has no n to vary"),
        (
            {
                "exists": Malach(
                    **ONE_BY_ONE, stored=[], epsilon=0.01, c=3, n=4, sharing="weight", distribution=TargetRange()
                ),
                "search": SEARCH,
            },
            "two layers for one",
        ),
    ],
)
def test_methods_it_cannot_take(methods: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        STUDY.run(problem(), methods, Memory(tmp_path))


@pytest.mark.parametrize(
    "wrong", [{"values": []}, {"values": [0]}, {"repeats": 0}, {"epsilon": 0.0}, {"labels": {"exists": "a"}}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(STUDY, **wrong)
