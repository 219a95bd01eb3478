"""Tuning: every try is a training, the best is the one of held-out training images, and test images have no say."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from recorders import Memory

import lth_runner
from lth_runner.config.compose import composed, method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.measure.ticket import network_accuracy
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import num_parameters, parameter_shapes
from lth_runner.problem import Problem
from lth_runner.report.tables import Results, csv_rows
from lth_runner.resources import CORES
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.random_pruning import RandomPruning
from lth_runner.studies.changed import changed
from lth_runner.studies.tuning import JUDGED_BY, Tuning
from lth_runner.study import Outcome
from lth_runner.ticket.materialise import materialise

RESULTS = Path(lth_runner.__file__).parents[1] / "results"
DATA = Synthetic(train_count=200, test_count=100, side=6, classes=10, seed=0, noise=0.2).load(lambda line: None)
NORMAL = KaimingNormal(gain=2**0.5, density=1.0)
SEARCH = EdgePopup(
    density=0.5, scope="layer", epochs=2, batch=32, learning_rate=0.5, momentum=0.9, weight_decay=5e-4, validation=50,
    distribution=NORMAL, scores=KaimingUniform(gain=3**-0.5, density=1.0), frozen=[], biases="zero",
)  # fmt: skip
METHODS: dict[str, Any] = {"layer": SEARCH, "global": replace(SEARCH, scope="global")}
STUDY = Tuning(
    settings={"learning_rate": [0.01, 1.0, 0.1], "weight_decay": [0.0, 0.01]},
    validation=0,
    most_kept=None,
    labels={"layer": "the layer"},
)
TRIES = [(rate, decay) for rate in (0.01, 1.0, 0.1) for decay in (0.0, 0.01)]


def problem(**changes: Any) -> Problem:
    network = FullyConnected(inputs=36, hidden=12, outputs=10, depth=2, biases=False)
    return replace(Problem(network=network, target=None, data=DATA, streams=Streams(3), device="cpu"), **changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return STUDY.run(problem(), METHODS, Memory(tmp_path_factory.mktemp("tuning")))


def test_every_method_has_every_try(done: Outcome) -> None:
    found = [(row["method"], row["learning_rate"], row["weight_decay"]) for row in done.rows]
    assert found == [(name, *values) for name in METHODS for values in TRIES]


def test_a_try_is_a_training_with_these_settings(done: Outcome, tmp_path: Path) -> None:
    row = done.rows[6 + 3]
    tried = replace(METHODS["global"], learning_rate=1.0, weight_decay=0.01)
    ticket = tried.find(problem(), Memory(tmp_path)).ticket
    assert row[JUDGED_BY] == ticket.facts["validation_accuracy_last"]
    assert row["kept_fraction"] == ticket.kept() / ticket.offered()


def test_the_best_has_the_highest_validation_accuracy_and_is_the_first_of_equals(done: Outcome) -> None:
    for start, name in ((0, "layer"), (6, "global")):
        rows = done.rows[start : start + 6]
        accuracies = [row[JUDGED_BY] for row in rows]
        best = accuracies.index(max(accuracies))
        assert [row["best"] for row in rows] == ["best" if i == best else None for i in range(6)]
        for key in ("learning_rate", "weight_decay", JUDGED_BY):
            assert done.summary[f"{name}/{key}"] == rows[best][key]
    assert done.rows[0]["network"] == "the layer"


def test_test_images_have_no_say(done: Outcome, tmp_path: Path) -> None:
    labels = DATA.test_labels
    assert labels is not None
    other = STUDY.run(problem(data=replace(DATA, test_labels=(labels + 1) % 10)), METHODS, Memory(tmp_path))
    assert other.rows == done.rows
    assert other.summary == done.summary
    assert "accuracy" not in Results(columns=done.columns, rows=done.rows).shown()


def test_the_table_has_a_line_per_method_with_its_best_in_bold(done: Outcome) -> None:
    heading, _, *lines = [line for line in done.texts["tuning.md"].splitlines() if line.startswith("|")]
    assert heading.startswith("| method | learning_rate 0.01, weight_decay 0 | learning_rate 0.01, weight_decay 0.01 |")
    assert [line.split("|")[1].strip() for line in lines] == ["the layer", "global"]
    assert [line.count("**") for line in lines] == [2, 2]


class Cut(Memory):
    """A recorder in whose hands the run ends, after the third try."""

    def say(self, line: str) -> None:
        super().say(line)
        if sum(": validation accuracy" in said for said in self.said) == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_second_attempt_tries_only_what_is_missing(done: Outcome, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        STUDY.run(problem(), METHODS, Cut(tmp_path))
    recorder = Memory(tmp_path)
    assert STUDY.run(problem(), METHODS, recorder) == done
    assert any("3 parts of this study were finished before" in line for line in recorder.said)


CONSTRUCTED = replace(
    STUDY, settings={"n": [2, 8, 4], "compensation.damping": [0.1, 0.01]}, validation=50, most_kept=2.5
)
SUMS: dict[str, Any] = {
    "plain": method_of("subset_sum", {}),
    "aware": method_of("subset_sum", {"compensate": "inputs"}),
}


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A method that remembers which data it was shown."""

    n: int
    sums: Any
    seen: ClassVar[list[Any]] = []
    needs_target: ClassVar[bool] = True
    resources: ClassVar[Any] = CORES

    def find(self, problem: Problem, recorder: Any) -> Any:
        self.seen.append(problem)
        return replace(self.sums, n=self.n).find(problem, recorder)


def posed() -> Problem:
    network, chance = problem().network, np.random.default_rng(0)
    assert network is not None
    shapes = parameter_shapes(network)
    return problem(target={name: chance.normal(size=shape, scale=0.2) for name, shape in shapes.items()})


def test_constructions_are_judged_on_images_that_the_study_keeps_from_them(tmp_path: Path) -> None:
    study = replace(CONSTRUCTED, settings={"n": [8]}, most_kept=None)
    outcome = study.run(posed(), {"aware": Watched(n=1, sums=SUMS["aware"])}, Memory(tmp_path))
    (row,), (shown,) = outcome.rows, Watched.seen
    assert (len(shown.data.train_labels), len(shown.data.test_labels)) == (150, 50)
    parts = [part.flatten(1).tolist() for part in (shown.data.train_inputs, shown.data.test_inputs)]
    assert isinstance(DATA.train_inputs, torch.Tensor)
    assert sorted(parts[0] + parts[1]) == sorted(DATA.train_inputs.flatten(1).tolist())
    ticket = changed(SUMS["aware"], {"n": 8}).find(shown, Memory()).ticket
    assert row[JUDGED_BY] == network_accuracy(materialise(ticket).module(), shown.data)
    assert row["kept_ratio"] == ticket.kept() / num_parameters(shown.network)


def test_what_keeps_too_much_is_tried_and_not_chosen(tmp_path: Path) -> None:
    outcome = CONSTRUCTED.run(posed(), SUMS, Memory(tmp_path))
    for name in SUMS:
        rows = [row for row in outcome.rows if row["method"] == name]
        (best,) = [row for row in rows if row["best"]]
        allowed = [row for row in rows if row["kept_ratio"] <= 2.5]
        assert len(rows) == 6 and len(allowed) == 4 and best["n"] in (2, 4)
        assert best[JUDGED_BY] == max(row[JUDGED_BY] for row in allowed)
        assert outcome.summary[f"{name}/compensation.damping"] == best["compensation.damping"]


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({}, "no method was chosen"),
        ({"floor": RandomPruning(density=0.5, distribution=NORMAL)}, "floor has no learning_rate"),
        ({"blind": replace(SEARCH, validation=0)}, "blind holds out no images"),
    ],
)
def test_methods_it_cannot_tune(methods: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        STUDY.check(methods)


def test_a_value_that_the_method_refuses_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        replace(STUDY, settings={"learning_rate": [0.1, -1.0]}).check(METHODS)


@pytest.mark.parametrize("settings", [{}, {"learning_rate": []}])
def test_nothing_to_try_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"study\.settings"):
        replace(STUDY, settings=settings)


def test_the_searches_of_the_figure_are_those_that_were_tuned_at_their_best() -> None:
    figure, tuned = (composed([f"experiment={name}", "grid=reduced"]) for name in ("figure_searches", "tune_searches"))
    seeds = range(figure["seed"], figure["seed"] + figure["study"]["grids"]["reduced"]["repeats"])
    assert tuned["seed"] not in seeds
    assert figure["compare"].keys() - {"random"} == tuned["compare"].keys()
    assert {**figure["study"]["labels"], "random": ""} == {**tuned["study"]["labels"], "random": ""}
    tries = csv_rows((RESULTS / "figure_searches" / "tuning.csv").read_text(), ["network", "best"])
    for name, search in tuned["compare"].items():
        own = [row for row in tries if row["network"] == tuned["study"]["labels"][name]]
        assert [row["learning_rate"] for row in own] == tuned["study"]["settings"]["learning_rate"]
        best = max(own, key=lambda row: row[JUDGED_BY])
        varied = {"learning_rate": best["learning_rate"], "density": figure["compare"][name]["density"]}
        assert figure["compare"][name] == {**search, **varied}


def test_the_sparsest_tickets_of_data_aware_are_those_that_were_tuned_at_their_best() -> None:
    shown, tuned = (composed([f"experiment={name}"]) for name in ("data_aware", "tune_data_aware"))
    assert tuned["seed"] not in (0, 1, 2)
    tries = csv_rows((RESULTS / "data_aware" / "tuning.csv").read_text(), ["network", "best"])
    settings = tuned["study"]["settings"]
    for name, label in tuned["study"]["labels"].items():
        own = [row for row in tries if row["network"] == label]
        for setting, values in settings.items():
            assert list(dict.fromkeys(row[setting] for row in own)) == values
        allowed = [row for row in own if row["kept_ratio"] <= tuned["study"]["most_kept"]]
        best = max(allowed, key=lambda row: row[JUDGED_BY])
        assert best["best"] == "best"
        assert shown["compare"][name]["epsilon"] == best["epsilon"]
        if shown["compare"][name]["compensate"] == "inputs":
            chosen = {setting: shown["compare"][name]["compensation"][setting] for setting in ("damping", "samples")}
            assert chosen == {setting: best[f"compensation.{setting}"] for setting in chosen}
            assert chosen.items() <= shown["compare"]["closest_aware"]["compensation"].items()
