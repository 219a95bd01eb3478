"""Constructions on several activations: rows and points of a tiny study, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from recorders import Memory
from small_networks import SMALL, dataset

from lth_runner.config.compose import composed, method_of
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.networks.activated import Activated
from lth_runner.networks.activations import RELU, Activation, Gelu, Sigmoid
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import Problem
from lth_runner.report.kinds.panels import figure
from lth_runner.studies.activations import COLUMNS, CURVE, Activations

EVERY: dict[str, Activation] = {"relu": RELU, "sigmoid": Sigmoid(), "gelu": Gelu()}
METHODS: dict[str, Any] = {
    "substitution": method_of("subset_sum", {"n": 8}),
    "doubled": method_of("pensia", {"n": 12, "signs": "as_drawn"}),
    "copies": method_of("burkholz", {"n": 6}),
}


class Random:
    """Targets of random weights, the same for all activations."""

    def weights(self, network: Any, data: Any, streams: Any, device: str, recorder: Any) -> dict[str, np.ndarray]:
        assert isinstance(network, Activated)
        rng = np.random.default_rng(0)
        return {name: rng.normal(0, 0.3, shape) for name, shape in parameter_shapes(network).items()}


def study(**changes: Any) -> Activations:
    known: dict[str, Any] = {"activations": EVERY, "scales": {"sigmoid": 0.01, "gelu": 1e-4}, "curve": "doubled"}
    known |= {"values": [0.1, 0.01], "labels": {"doubled": "twice as deep"}, "images": 5}
    return Activations(**{**known, "target": Random(), "epsilon": 0.01} | changes)


def problem() -> Problem:
    small = SMALL["fc"]
    return Problem(network=small.make(), target=None, data=dataset(small), streams=Streams(0), device="cpu")


def test_every_method_on_every_activation() -> None:
    outcome = study().run(problem(), METHODS, Memory())
    rows = {(row["activation"], row.get("method", "target")): row for row in outcome.rows}
    assert set(rows) == {(name, method) for name in EVERY for method in ("target", *METHODS)}
    assert set(COLUMNS) >= {"width", "curvature_error_test", "curvature_error_test_bound"}
    for name in EVERY:
        doubled = rows[name, "doubled"]
        assert doubled["width"] == (24 if name == "relu" else 12)
        assert doubled["output_difference_max"] <= doubled["function_error_test_bound"]
        assert "curvature_error_test" not in rows[name, "substitution"]
        if name == "relu":
            assert "curvature_error_test" not in doubled
        else:
            assert 0 < doubled["curvature_error_test"] <= doubled["curvature_error_test_bound"]
    assert set(outcome.tickets) == {f"{name}_{method}" for name in EVERY for method in METHODS}
    assert outcome.tickets["gelu_doubled"].claims["curvature_error_max"] > 0
    assert "sigmoid/doubled/accuracy" in outcome.summary
    points = {(point["curve"], point["scale"]): point for point in outcome.points}
    assert set(points) == {(name, scale) for name in ("sigmoid", "gelu") for scale in (0.1, 0.01)}
    for name, ratio in (("sigmoid", 100), ("gelu", 10)):
        far, near = points[name, 0.1], points[name, 0.01]
        assert far["curvature_error_test"] / near["curvature_error_test"] == pytest.approx(ratio, rel=0.3)
    drawn: Any = figure(outcome.points, outcome.figures["activations"])
    assert len([axes for axes in drawn.axes if axes.axison]) == len(CURVE)


def test_what_it_tries_has_the_activation_of_the_target() -> None:
    tried = list(study().tried(METHODS, SMALL["fc"].make()))
    assert len(tried) == 9
    for method, network in tried:
        assert isinstance(network, Activated)
        own = getattr(method, "activation", network.activation)
        assert own == network.activation


def test_the_files_name_what_is_tried() -> None:
    config = composed(["experiment=activations"])
    assert config["study"]["target"] == config["target"]
    assert set(config["study"]["activations"]) == {"relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"}


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="scales must be one of relu, sigmoid, gelu"):
        study(scales={"tanh": 0.1})
    with pytest.raises(ConfigError, match="activations is empty"):
        study(activations={}, scales={})
    with pytest.raises(ConfigError, match="curve must be one of"):
        study(curve="pensia").check(METHODS)
    with pytest.raises(ConfigError, match=r"substitution has no random neurons: name one such as pensia$"):
        study(curve="substitution").check(METHODS)
    study(curve="pensia", values=[]).check(METHODS)
