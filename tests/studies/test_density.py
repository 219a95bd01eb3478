"""Accuracy against the fraction kept: the points are those of the tickets, and survive a kill."""

import csv
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pruning
import pytest
from plain_choice import ONE_BY_ONE
from recorders import Memory
from sweep.sweeping import lth_run_here, start, summaries

from lth_runner.construct.malach import Malach
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform
from lth_runner.distributions.target_range import TargetRange
from lth_runner.measure.ticket import measure_ticket
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.report.points import points_csv
from lth_runner.search.edge_popup import EdgePopup
from lth_runner.search.random_pruning import RandomPruning
from lth_runner.studies.density import COLUMNS, Density, Grid, Own
from lth_runner.ticket.materialise import materialise

DATA = Synthetic(train_count=200, test_count=100, side=6, classes=10, seed=0, noise=0.2).load(lambda line: None)
PLAIN = FullyConnected(inputs=36, hidden=12, outputs=10, depth=2, biases=False)
REDUNDANT = RedundantFullyConnected(inputs=36, hidden=12, outputs=10, depth=2, redundancy=3, relu=False)
MALACH = Malach(**ONE_BY_ONE, stored=[], epsilon=0.01, c=3, n=4, sharing="weight", distribution=TargetRange())
NORMAL = KaimingNormal(gain=2**0.5, density=1.0)
SEARCH = EdgePopup(
    density=1.0, scope="layer", epochs=2, batch=32, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, validation=50,
    distribution=NORMAL, scores=KaimingUniform(gain=3**-0.5, density=1.0), frozen=[],
    biases="zero",
)  # fmt: skip
METHODS: dict[str, Any] = {
    "plain": SEARCH,
    "structure": SEARCH,
    "floor": RandomPruning(density=1.0, distribution=NORMAL),
}
FLOORS: dict[str, Any] = {"floor": METHODS["floor"], "other": METHODS["floor"]}
STUDY = Density(
    grid="small",
    grids={
        "small": Grid(densities=[0.5, 0.1], epochs=2, repeats=2),
        "large": Grid(densities=[1.0], epochs=9, repeats=1),
    },
    own={},
    networks={"structure": REDUNDANT},
    labels={"floor": "random mask"},
    published={"plain": [[0.5, 0.975], [0.3, 0.9]]},
    source="a figure",
    figures={},
    facts={},
)


LEVELS = re.compile(r": level \d: epoch 1/2")


def problem(seed: int = 3) -> Problem:
    return Problem(network=PLAIN, target=None, data=DATA, streams=Streams(seed), device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Memory]:
    recorder = Memory(tmp_path_factory.mktemp("density"))
    return STUDY.run(problem(), METHODS, recorder), recorder


@pytest.mark.slow
def test_every_curve_has_every_density_and_seed(done: tuple[Any, Memory]) -> None:
    points = list(csv.DictReader(points_csv(done[0].points).splitlines()))
    assert list(points[0]) == list(COLUMNS)
    found = [(point["curve"], float(point["density"]), int(point["seed"])) for point in points]
    assert sorted(found) == sorted((c, d, s) for c in METHODS for d in (0.5, 0.1) for s in (3, 4))


def test_a_point_is_the_accuracy_of_its_ticket(done: tuple[Any, Memory], tmp_path: Path) -> None:
    points = {(line["curve"], line["density"], line["seed"]): line for line in done[1].lines if "curve" in line}
    for curve, network in (("plain", PLAIN), ("structure", REDUNDANT)):
        posed = replace(problem(4), network=network)
        ticket = replace(SEARCH, density=0.1).find(posed, Memory(tmp_path / curve)).ticket
        network = materialise(ticket)
        measured = measure_ticket(network, posed, epsilon=1.0, outputs=False, approximates=False)
        point = points[curve, 0.1, 4]
        assert point["accuracy"] == measured["accuracy"]
        assert (point["kept"], point["offered"]) == (ticket.kept(), sum(m.size for m in ticket.masks.values()))
        assert point["best_epoch_accuracy"] == ticket.facts["best_epoch_accuracy"]


def test_table_and_summary_are_means_over_the_seeds(done: tuple[Any, Memory]) -> None:
    outcome, recorder = done
    values = [
        float(line["accuracy"]) for line in recorder.lines if line.get("curve") == "plain" and line["density"] == 0.1
    ]
    assert len(values) == 2
    row = next(row for row in outcome.rows if row["network"] == "plain, 10 %")
    assert row["accuracy"] == outcome.summary["plain/0.1/accuracy"] == pytest.approx(sum(values) / 2)
    assert outcome.summary["plain/0.1/accuracy_min"] == min(values)
    assert outcome.summary["plain/0.1/accuracy_max"] == max(values)
    assert (row["offered_ratio"], row["kept_ratio"]) == (1.0, pytest.approx(0.1, abs=1e-2))


def test_a_method_and_its_controls_share_the_levels(tmp_path: Path) -> None:
    methods = {name: pruning.method("imp", control=name) for name in ("none", "reinitialised", "random_mask")}
    grid = Grid(densities=[0.64, 0.512], epochs=2, repeats=2)
    study = replace(STUDY, grids={"small": grid}, networks={}, labels={}, published={})
    together = Memory(tmp_path / "together")
    points = study.run(pruning.problem(), methods, together).points
    trained = [name for label, _, _ in together.bars for name in LEVELS.findall(label)]
    assert {name: trained.count(name) for name in set(trained)} == {f": level {n}: epoch 1/2": 2 for n in range(4)}
    assert [path.name[:6] for path in (tmp_path / "together").iterdir()] == ["points"]
    for name, method in methods.items():
        alone = study.run(pruning.problem(), {name: method}, Memory(tmp_path / name)).points
        assert [point for point in points if point["curve"] == name] == alone


def test_published_values_stand_beside_ours_and_say_where_they_are_from(done: tuple[Any, Memory]) -> None:
    table = done[0].texts["density.md"]
    heading, _, half, tenth = [line for line in table.splitlines() if line.startswith("|")]
    assert heading == "| kept | plain | published | structure | random mask |"
    assert half.split("|")[3].strip() == "97.5 %"
    assert tenth.split("|")[3].strip() == "", "nothing was published for 10 %"
    assert "Small grid: 2 densities, 2 epochs, mean of 2 seeds" in table
    assert "a figure" in table


def test_figures_and_tables_show_the_curves_that_they_name(done: tuple[Any, Memory], tmp_path: Path) -> None:
    assert done[0].figures["density"]["curves"] == ["plain", "structure", "floor"]
    several = replace(
        STUDY, networks={}, published={"floor": [[0.5, 0.1]]}, figures={"one": ["floor"], "both": [*FLOORS]},
        labels={"floor": "random mask", "other": "another"},
    )  # fmt: skip
    outcome = several.run(problem(), FLOORS, Memory(tmp_path))
    assert list(outcome.figures) == ["one", "both"]
    assert outcome.figures["one"]["curves"] == ["floor"]
    assert outcome.figures["one"]["labels"] == {"floor": "random mask"}
    assert [list(each["published"]) for each in outcome.figures.values()] == [["floor"], ["floor"]]
    headings = [
        next(line for line in outcome.texts[f"{name}.md"].splitlines() if "kept |" in line) for name in ("one", "both")
    ]
    assert headings == ["| kept | random mask | published |", "| kept | random mask | published | another |"]
    with pytest.raises(ConfigError, match="networks, published or figures must be one of floor, other"):
        replace(several, figures={"one": ["flor"]}).check(FLOORS)


def test_facts_of_tickets_have_a_table_and_a_figure_where_asked_for(done: tuple[Any, Memory], tmp_path: Path) -> None:
    assert list(done[0].texts) == ["density.md"]
    methods = {"plain": METHODS["plain"], "floor": METHODS["floor"]}
    grid = {"small": Grid(densities=[0.3], epochs=2, repeats=2)}
    told = replace(STUDY, grids=grid, networks={}, published={}, facts={"best_epoch": "best", "nothing": "no such"})
    outcome = told.run(problem(), methods, Memory(tmp_path))
    epochs = sorted(point["best_epoch"] for point in outcome.points if point["curve"] == "plain")
    between = f" ({epochs[0]} to {epochs[1]})" if epochs[1] > epochs[0] else ""
    assert outcome.texts["facts.md"].splitlines()[2:] == [
        f"| plain | 30 % | {sum(epochs) / 2:g}{between} | — |",
        "| random mask | 30 % | — | — |",
    ]
    assert [panel["y"] for panel in outcome.figures["facts"]["panels"]] == ["best_epoch"]
    assert list(outcome.points[0]) == [*COLUMNS, "nothing"]
    drawn = [figure(outcome.points, outcome.figures[name]) for name in ("facts", "density")]
    assert [len(each.axes) for each in drawn] == [1, 2]
    assert all(axes.get_xticks().size for each in drawn for axes in each.axes)


class Cut(Memory):
    """A recorder in whose hands the run ends with the fifth point."""

    def metrics(self, **values: float | int | str) -> None:
        super().metrics(**values)
        if sum("curve" in line for line in self.lines) == 5:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_second_attempt_finds_only_the_missing_points(done: tuple[Any, Memory], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        STUDY.run(problem(), METHODS, Cut(tmp_path))
    recorder = Memory(tmp_path)
    outcome = STUDY.run(problem(), METHODS, recorder)
    assert any("5 parts of this study were finished before" in line for line in recorder.said)
    trained = {label.split(":")[0] for label, _, _ in recorder.bars}
    assert len(trained) == 4, "of seven missing points three are random masks, which are not trained"
    assert outcome.texts == done[0].texts
    assert outcome.points == done[0].points
    assert outcome.figures == done[0].figures
    assert outcome.summary == done[0].summary
    assert recorder.lines == done[1].lines


def test_points_found_with_another_target_are_not_taken(tmp_path: Path) -> None:
    """Frozen layers are the target's."""
    small = replace(
        STUDY,
        grids={"small": Grid(densities=[0.5], epochs=2, repeats=1)},
        networks={},
        published={},
        figures={},
        facts={},
    )
    floor = {"floor": METHODS["floor"]}
    rng = np.random.default_rng(0)
    for _ in range(2):
        target = {name: rng.normal(size=shape) for name, shape in parameter_shapes(PLAIN).items()}
        recorder = Memory(tmp_path)
        small.run(replace(problem(), target=target), floor, recorder)
        assert not any("finished before" in line for line in recorder.said)


@pytest.mark.slow
def test_on_a_gpu_all_densities_of_a_search_are_found_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[float]] = []
    find_each = EdgePopup.find_each

    def remembered(self: EdgePopup, posed: Problem, recorder: Any, densities: Any) -> Any:
        asked.append(list(densities))
        return find_each(self, replace(posed, device="cpu"), recorder, densities)

    monkeypatch.setattr(EdgePopup, "find_each", remembered)
    study = replace(STUDY, grids={"small": replace(STUDY.grids["small"], repeats=1)})
    study.run(replace(problem(), device="cuda"), METHODS, Memory(tmp_path))
    assert asked == [[0.5, 0.1], [0.5, 0.1]]


@pytest.mark.parametrize(
    ("changes", "methods", "message"),
    [
        ({"grid": "huge"}, METHODS, "grid"),
        ({"networks": {"nobody": PLAIN}}, METHODS, "nobody"),
        ({"published": {"nobody": [[0.1, 0.1]]}}, METHODS, "nobody"),
        ({"published": {}}, {"structure": MALACH}, "structure has no density"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes: Any, methods: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(STUDY, **changes).run(problem(), methods, Memory(tmp_path))


RUN = [
    "experiment=figure_fc2", "grid=reduced", "data=synthetic", "~data.normalize", "data.train_count=1000",
    "network.inputs=64", *[f"study.networks.{curve}.inputs=64" for curve in ("linear", "relu", "wide")],
    *[f"study.networks.{curve}.hidden=40" for curve in ("linear", "relu", "wide")],
    *[f"compare.{curve}.validation=200" for curve in ("linear", "relu", "wide")],
    "study.grids.reduced.densities=[0.5,0.1]", "study.grids.reduced.epochs=12", "study.grids.reduced.repeats=2",
    "wandb.mode=disabled", "device=cpu",
]  # fmt: skip


def killed(folder: Path, saves: int) -> None:
    """Starts the command and kills it when it has kept points so many times."""
    process = start(folder, *RUN)
    seen: set[int] = set()
    while len(seen) < saves:
        assert process.poll() is None, f"it ended before it was killed: {process.communicate()[0]}"
        seen |= {path.stat().st_mtime_ns for path in folder.glob("runs/*/checkpoints/points-*.safetensors")}
        time.sleep(0.002)
    time.sleep(0.1)  # into the next training
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_it_comes_to_the_same_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once, disturbed = tmp_path / "once", tmp_path / "disturbed"
    for folder in (once, disturbed):
        folder.mkdir()
    assert lth_run_here(monkeypatch, once, *RUN) is None
    killed(disturbed, saves=2)
    assert [summary["status"] for summary in summaries(disturbed / "runs").values()] == ["running"]
    assert lth_run_here(monkeypatch, disturbed, *RUN) is None
    assert summaries(disturbed / "runs") == summaries(once / "runs")
    for name in ("points.csv", "figures.json", "density.md", "density.svg", "table.csv", "metrics.jsonl"):
        one, other = (next(folder.glob(f"runs/*/{name}")).read_bytes() for folder in (once, disturbed))
        if name == "metrics.jsonl":  # the target is taken from the cache the second time
            one, other = (
                b"\n".join(x for x in lines.splitlines() if b"target_epoch" not in x) for lines in (one, other)
            )
        assert one == other, name
    assert list(disturbed.rglob("checkpoints")) == [], "a run that ended well needs none"


def test_a_method_may_have_points_of_its_own_and_one_without_a_density_has_a_single_one(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    target = {name: chance.normal(size=shape) for name, shape in parameter_shapes(PLAIN).items()}
    study = replace(
        STUDY,
        networks={},
        published={},
        own={"sums": Own(densities=[], repeats=2), "floor": Own(densities=[0.25], repeats=1)},
    )
    methods: dict[str, Any] = {"plain": SEARCH, "sums": MALACH, "floor": METHODS["floor"]}
    outcome = study.run(replace(problem(), target=target), methods, Memory(tmp_path))
    found = {curve: [p for p in outcome.points if p["curve"] == curve] for curve in methods}
    assert {curve: len(points) for curve, points in found.items()} == {"plain": 4, "sums": 2, "floor": 1}
    assert [point["density"] for point in found["floor"]] == [0.25]
    size = sum(array.size for array in target.values())
    for point in found["sums"]:
        assert point["weights"] == size
        assert point["density"] == pytest.approx(sum(p["kept"] for p in found["sums"]) / size / 2)
        assert point["offered"] == 4 * size, "what was offered stays what it was"
    assert figure(outcome.points, outcome.figures["density"]).axes
    with pytest.raises(ConfigError, match=r"sums has no density to choose.*study\.own\.sums"):
        replace(study, own={}).check(methods)
