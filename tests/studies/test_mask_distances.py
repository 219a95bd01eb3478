"""Tickets drawn early and late share one search; the matrix is that of its masks, and the figure shows it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorders import Memory

from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.vgg import VGG
from lth_runner.problem import Problem
from lth_runner.prune.mask_distance import distances
from lth_runner.report.draw import figure
from lth_runner.studies.mask_distances import MaskDistances, Searches

DATA = Synthetic(train_count=160, test_count=60, side=8, classes=10, seed=0, noise=0.2).load(lambda line: None)
NETWORK = VGG(channels=1, convolutions=((4, 6), (5,)), outputs=10, batch_norm=True)
SMALL: dict[str, Any] = {"validation": 40, "training": {"length": "3ep", "batch": 20}}
EARLY = method_of("early_bird", {**SMALL, "window": 2, "distance": 1.0, "retrain": "rewound"})
METHODS = {"early": EARLY, "last": replace(EARLY, draw="last"), "dense": method_of("imp", {**SMALL, "density": 1.0})}
STUDY = MaskDistances(
    grid="small", grids={"small": Searches(epochs=3, repeats=2)}, matrix=["early"], labels={"early": "drawn early"}
)

pytestmark = pytest.mark.usefixtures("one_thread")


def problem() -> Problem:
    return Problem(network=NETWORK, target=None, data=DATA, streams=Streams(3), device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Memory]:
    recorder = Memory(tmp_path_factory.mktemp("distances"))
    return STUDY.run(problem(), METHODS, recorder), recorder


def test_one_search_of_each_seed_serves_all_tickets(done: tuple[Any, Memory]) -> None:
    searched = [label for label, _, _ in done[1].bars if "search" in label]
    assert len(searched) == 2 * 3, "epochs of two seeds"


def test_rows_tell_when_a_ticket_was_drawn_and_how_small_it_is(done: tuple[Any, Memory]) -> None:
    early, last, dense = done[0].rows
    assert (early["curve"], last["curve"]) == ("drawn early", "last")
    assert (early["drawn_epoch"], last["drawn_epoch"], dense["drawn_epoch"]) == (2, 3, None)
    assert (early["masks_agree"], dense["masks_agree"]) == (1, None)
    assert early["units_share"] == pytest.approx(8 / 15) and 0 < early["compact_share"] < early["weights_share"] + 0.5
    assert early["whole_ms"] > 0 and early["compact_ms"] > 0 and dense["weights_share"] == 1
    assert early["accuracy_min"] <= early["accuracy"] <= early["accuracy_max"]


def test_the_matrix_is_that_of_the_masks(done: tuple[Any, Memory], tmp_path: Path) -> None:
    drawing = EARLY.drawing(replace(problem(), streams=Streams(4)), Memory(tmp_path))
    while not drawing.search.ended:
        drawing.search.grow()
    found = [p["distance"] for p in done[0].points if p["seed"] == 4 and "distance" in p]
    np.testing.assert_array_equal(np.reshape(found, (3, 3)), distances(drawing.masks(0.5)))


def test_the_figure_is_the_mean_matrix(done: tuple[Any, Memory]) -> None:
    drawn = figure(done[0].points, done[0].figures["mask_distances"])
    each = np.reshape([p["distance"] for p in done[0].points if "distance" in p], (2, 3, 3))
    np.testing.assert_allclose(np.asarray(drawn.axes[0].images[0].get_array()), each.mean(axis=0))
    assert "drawn after 2 epochs, masks within 1" in drawn.axes[0].get_title()


def test_times_are_in_the_table_and_not_among_the_points(done: tuple[Any, Memory]) -> None:
    assert not any(key.endswith("_ms") for point in done[0].points for key in point)


def test_a_matrix_of_other_methods_is_refused() -> None:
    with pytest.raises(ConfigError, match="matrix names dense, which draws no units"):
        replace(STUDY, matrix=["dense"]).check(METHODS)
