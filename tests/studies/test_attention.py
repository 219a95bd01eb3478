"""Errors of one attention: measured as they are defined, on targets that all methods share; the law is beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory

from lth_runner.config.build import build
from lth_runner.config.compose import composed, method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.networks.interface import filled
from lth_runner.problem import Problem
from lth_runner.report.draw import figure
from lth_runner.studies.attention import MEASURES, AttentionErrors, entry_errors, output_errors
from lth_runner.ticket.materialise import materialise

pytestmark = pytest.mark.usefixtures("one_thread")
PROBLEM = Problem(network=None, target=None, data=None, streams=Streams(3), device="cpu")
N, LENGTHS = [4, 8, 12], [2, 8]


def study(**changes: Any) -> AttentionErrors:
    whole = build(composed(["~data", "~network", "~target", "study=attention"])["study"], "study")
    sizes: dict[str, Any] = {"width": 4, "heads": [1, 2], "values": N, "fit_from": 4, "length": 4, "lengths": LENGTHS}
    sizes |= {
        "length_n": 8,
        "tokens": 32,
        "repeats": 2,
        "methods": {n: whole.methods[n] for n in ("merged", "projections")},
    }
    return replace(whole, **sizes | changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return study().run(PROBLEM, {}, Memory(tmp_path_factory.mktemp("attention")))


def test_every_n_and_every_length_is_measured_once(done: Any) -> None:
    keys, networks = (
        ("curve", "network", "n", "length", "seed"),
        ("1 head", "2 heads", "block", "block with layer norms"),
    )
    measured = [tuple(point[key] for key in keys) for point in done.points if point["panel"] == "measured"]
    places = {(n, 4) for n in N} | {(8, length) for length in LENGTHS}
    methods = ("merged", "projections")
    assert sorted(measured) == sorted(
        (m, h, *place, s) for m in methods for h in networks for place in places for s in (3, 4)
    )
    assert [(row["network"], row["measure"]) for row in done.rows[:6]] == [
        ("1 head", label) for label in MEASURES.values()
    ]
    assert len(done.rows) == 2 * 4 * len(MEASURES)


def test_a_point_is_what_the_ticket_computes(done: Any) -> None:
    posed = study().posed("2 heads", replace(PROBLEM, streams=Streams(4)))
    network, target = posed.need("network", "target")
    ticket = replace(study().methods["merged"], n=12).find(posed, Memory()).ticket
    tokens = torch.from_numpy(Streams(4)("tokens").normal(size=(8, 4, 4)))
    ours, theirs = materialise(ticket).module(torch.float64)(tokens), filled(network, target, torch.float64)(tokens)
    place = {"panel": "measured", "curve": "merged", "network": "2 heads", "n": 12, "length": 4, "seed": 4}
    (point,) = (point for point in done.points if place.items() <= point.items())
    assert point["output"] == pytest.approx(float((ours - theirs).norm() / theirs.norm()), rel=1e-9)
    assert point["largest_output"] == pytest.approx(float((ours - theirs).abs().max()), rel=1e-9)
    found = entry_errors(materialise(ticket), target)
    assert {key: point[key] for key in found} == pytest.approx(found, rel=1e-9)
    assert (point["drawn"], point["kept"]) == (ticket.drawn(), ticket.kept())


def test_targets_are_normal_and_layer_norms_are_none_of_them() -> None:
    wide = study(width=32, heads=[1], norm_heads=1, hidden=64)
    target = wide.posed("block with layer norms", PROBLEM).need("target")[0]
    assert {name: (array.min(), array.max()) for name, array in target.items() if "norm" in name} == {
        f"norm{i}.{part}": (value, value) for i in (1, 2) for part, value in (("weight", 1.0), ("bias", 0.0))
    }
    for name in ("attention.in_proj_weight", "mlp.fc1.weight", "mlp.fc2.weight"):
        assert target[name].std() == pytest.approx(target[name].shape[1] ** -0.5, rel=0.1)
    names = wide.posed("block", PROBLEM).need("target")[0]
    assert names.keys() == {name for name in target if "norm" not in name}


def test_a_layer_norm_behind_does_not_see_the_size_of_the_output() -> None:
    tokens = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5, 4)))
    errors = output_errors(lambda x: 3 * x.sin(), torch.sin, tokens)  # pyright: ignore[reportArgumentType]
    assert errors["output"] == pytest.approx(2) and errors["norm"] < 1e-4 < errors["residual"]


def test_slopes_are_those_of_the_points_and_the_law_is_about_one_bit(done: Any) -> None:
    own = {"curve": "products of U[-1, 1]", "network": "1 head", "measure": "median entry"}
    (row,) = (row for row in done.rows if own.items() <= row.items())
    place = {"panel": "measured", "curve": "merged", "network": "1 head", "length": 4}
    found = [point for point in done.points if place.items() <= point.items()]
    at = [[point["entry"] for point in found if point["seed"] == seed] for seed in (3, 4)]
    slopes = [-np.polyfit(N, np.log2(values), 1)[0] for values in at]
    assert row["bits"] == pytest.approx(np.mean(slopes)) and row["low"] < row["bits"] < row["high"]
    (law,) = done.figures["attention"]["panels"][0]["formulas"].values()
    assert law[0] == N and 0.8 < np.log2(law[1][0] / law[1][2]) / 8 < 1.1
    for n, predicted in zip(*law, strict=True):
        measured = [
            p["entry"] for p in done.points if p["panel"] == "n" and p["curve"] == "merged, 2 heads" and p["n"] == n
        ]
        assert measured[0] == pytest.approx(predicted, rel=0.5)


def test_the_figure_shows_medians(done: Any, tmp_path: Path) -> None:
    drawn = figure(done.points, done.figures["attention"])
    drawn.savefig(tmp_path / "attention.png")
    assert (tmp_path / "attention.png").stat().st_size > 10_000
    shown = {line.get_label() for axes in drawn.axes for line in axes.get_lines()}
    assert {
        "products of U[-1, 1], 2 heads",
        "each projection, 2 heads",
        "layer norm of the output",
        "products of U[-1, 1], block",
    } <= shown
    assert "each projection, 1 head" not in shown


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be a multiple of all"):
        study(heads=[3], norm_heads=3)
    with pytest.raises(ConfigError, match="norm_heads must be one of"):
        study(norm_heads=4)
    with pytest.raises(ConfigError, match="too few for one sequence"):
        study(tokens=7)
    with pytest.raises(ConfigError, match=r"no setting of study\.methods\.random"):
        study(methods={**study().methods, "random": method_of("random_pruning", {})})
    with pytest.raises(ConfigError, match="leave out compare and method"):
        study().check({"merged": method_of("attention", {})})
