"""The study of bits: every setting of every method, its bits beside its errors, the laws beside both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorders import Fragile, Killed, Memory
from small_networks import SMALL, dataset, target

import lth_runner as lth
from lth_runner.config.compose import method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.studies.bits_per_weight import BitsPerWeight
from lth_runner.studies.changed import changed
from lth_runner.ticket.file import save_ticket, to_bytes
from lth_runner.ticket.materialise import materialise

METHODS = {
    "nearest": method_of("round_to_nearest", {"group": None}),
    "fine": method_of("gptq", {"levels": "even", "scale": "rms", "group": None}),
    "block": method_of("block", {"compensate": "inputs"}),
    "pensia": method_of("pensia", {"n": 14, "epsilon": 0.05}),
}
STUDY = BitsPerWeight(
    settings={
        "nearest": [{"levels.bits": 2}, {"levels.bits": 5}],
        "block": [{"n": 8, "block": 4}, {"n": 12, "block": 3}],
    },
    labels={"nearest": "round to nearest"},
    codebooks=[4],
    shown=[1, 9],
    epsilon=0.05,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def problem() -> Problem:
    small = SMALL["fc"]
    return Problem(network=small.make(), target=target(small), data=dataset(small), streams=Streams(0), device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return STUDY.run(problem(), METHODS, Memory(tmp_path_factory.mktemp("bits")))


def test_every_setting_has_a_row_and_a_ticket(done: Any) -> None:
    names = ["nearest_0", "nearest_1", "fine_2", "block_3", "block_4", "pensia_5"]
    assert [row["network"] for row in done.rows] == ["target", *names] and list(done.tickets) == names
    rows = {row["network"]: row for row in done.rows}
    assert rows["nearest_1"]["settings"] == "levels.bits=5"
    assert rows["nearest_0"]["relative_error"] > 3 * rows["nearest_1"]["relative_error"]
    assert rows["fine_2"]["bits_per_weight_coded"] < 0.95 * rows["fine_2"]["bits_per_weight"]
    assert {point["curve"] for point in done.points} >= {"fine", "fine, coded", "block", "Shannon's bound"}


def test_the_relative_error_is_that_of_the_tickets_weights(done: Any) -> None:
    weights = target(SMALL["fc"])
    for name, ticket in done.tickets.items():
        errors, squares = 0.0, 0.0
        for weight, found in materialise(ticket).approximated.items():
            readings = found.reshape(-1, *weights[weight].shape)
            errors += np.sum((readings - weights[weight]) ** 2) / len(readings)
            squares += np.sum(weights[weight] ** 2)
        row = next(row for row in done.rows if row["network"] == name)
        assert row["relative_error"] == pytest.approx(np.sqrt(errors / squares))


def test_no_code_is_below_shannons_bound_by_more_than_so_few_weights_allow(done: Any) -> None:
    for row in done.rows[1:]:
        assert row["relative_error"] > 0.8 * 2.0 ** -row["bits_per_weight_coded"]


def test_bits_are_claimed_and_false_ones_refused(done: Any, tmp_path: Path) -> None:
    path, given = tmp_path / "ticket.safetensors", {"target": target(SMALL["fc"]), "data": dataset(SMALL["fc"])}
    for ticket in done.tickets.values():
        save_ticket(ticket, path, coded=True)
        assert lth.verify(path, **given)
        for claim in ("bits_per_weight", "bits_per_weight_coded"):
            save_ticket(replace(ticket, claims={**ticket.claims, claim: 0.99 * ticket.claims[claim]}), path)
            false = [finding.claim for finding in lth.verify(path, **given).findings if not finding.agrees]
            assert false == [claim]


def test_its_figure_is_drawn(done: Any, tmp_path: Path) -> None:
    drawn = figure(done.points, done.figures["bits"])
    drawn.savefig(tmp_path / "bits.png")
    assert (tmp_path / "bits.png").stat().st_size > 10_000
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert {
        "round to nearest",
        "fine",
        "Shannon's bound",
        "random codebook, 4 weights",
    } <= labels and "fine, coded" not in labels


def test_settings_that_a_method_refuses_are_refused_at_once() -> None:
    assert changed(METHODS["nearest"], {"levels.bits": 7, "group": 3}).levels.bits == 7
    for settings in ({"nearest": [{"levels.bits": 99}]}, {"nearest": [{"bits": 4}]}, {"none": [{}]}):
        with pytest.raises(ConfigError):
            replace(STUDY, settings=settings).check(METHODS)
    with pytest.raises(ConfigError, match="approximates no target"):
        STUDY.check({**METHODS, "random": method_of("random_pruning", {})})


@pytest.mark.parametrize("bars", [1, 4, 6])
def test_killed_anywhere_it_goes_on_to_the_same_numbers_and_tickets(done: Any, tmp_path: Path, bars: int) -> None:
    with pytest.raises(Killed):
        STUDY.run(problem(), METHODS, Fragile(tmp_path, bars=bars))
    begun = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("ticket-*")}
    again = STUDY.run(problem(), METHODS, Memory(tmp_path))
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("ticket-*")}.items() >= begun.items()
    assert list(map(timeless, again.rows)) == list(map(timeless, done.rows))
    assert again.points == done.points and again.summary.keys() == done.summary.keys()
    assert {name: to_bytes(ticket) for name, ticket in again.tickets.items()} == {
        name: to_bytes(ticket) for name, ticket in done.tickets.items()
    }
    third = Memory(tmp_path)
    assert STUDY.run(problem(), METHODS, third).rows == again.rows and not third.bars, "nothing is done twice"


def timeless(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith("_s")}
