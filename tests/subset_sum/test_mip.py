"""The mixed-integer solvers: licences, settings, and instances that end without an answer."""

from typing import Any

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.exhaustive import Exhaustive
from lth_runner.subset_sum.gurobi import Gurobi
from lth_runner.subset_sum.interface import Status
from lth_runner.subset_sum.milp import Milp
from lth_runner.subset_sum.mip import solve_each

VALUES = np.array([[0.3, 0.4, -0.1]])


def gurobi(**settings: Any) -> Gurobi:
    return Gurobi(**{"mip_gap": 0.01, "threads": 1, "time_limit": None} | settings)


def milp(**settings: Any) -> Milp:
    return Milp(**{"mip_gap": 0.01, "time_limit": None} | settings)


def test_no_licence_is_one_sentence_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRB_LICENSE_FILE", "/nonexistent.lic")
    with pytest.raises(ConfigError, match=r"found no licence .*use method/solver=meet_in_middle") as refused:
        gurobi().solve(VALUES, np.zeros(1), 0.1, "closest")
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("gurobi_licence")
def test_licence_too_small_is_one_sentence_that_helps() -> None:
    with pytest.raises(ConfigError, match=r"licence too small.*use method/solver=meet_in_middle") as refused:
        gurobi().solve(np.full((1, 2001), 0.001), np.ones(1), 0.1, "closest")
    assert "\n" not in str(refused.value)


def test_answers_are_rounded_and_certified() -> None:
    answer = solve_each(lambda row, target: row * 0 + 0.99999, VALUES, np.array([0.6, 5.0]), 0.01)
    assert answer.chosen.all()
    np.testing.assert_allclose(answer.error, [0.0, 4.4], atol=1e-15)
    np.testing.assert_array_equal(answer.status, [Status.WITHIN_EPSILON, Status.BEYOND_EPSILON])


def test_giving_up_is_a_status() -> None:
    answer = solve_each(lambda row, target: None if target else row, VALUES, np.array([0.0, 0.6]), 0.01)
    np.testing.assert_array_equal(answer.status, [Status.WITHIN_EPSILON, Status.UNSOLVED])
    np.testing.assert_allclose(answer.error[1], 0.6)


@pytest.mark.parametrize("objective", ["closest", "sparsest"])
@pytest.mark.parametrize("n", [5, 10])
def test_free_solver_agrees_with_exhaustive_search(n: int, objective: str) -> None:
    rng = np.random.default_rng(1)
    values, targets = rng.uniform(-0.5, 0.5, (6, n)), rng.normal(0, 0.1, 6)
    expected = Exhaustive(max_n=10).solve(values, targets, 0.02, objective)
    answer = milp().solve(values, targets, 0.02, objective)
    solvable = expected.status == Status.WITHIN_EPSILON
    np.testing.assert_array_equal(answer.status == Status.UNSOLVED, ~solvable)
    if objective == "closest":
        np.testing.assert_allclose(answer.error[solvable], expected.error[solvable], atol=2e-5, rtol=0.01)
    else:
        np.testing.assert_array_equal(answer.chosen[solvable].sum(1), expected.chosen[solvable].sum(1))


def test_time_runs_out_without_an_exception() -> None:
    rng = np.random.default_rng(2)
    answer = milp(time_limit=1e-3).solve(rng.uniform(-1, 1, (2, 40)), np.full(2, 0.1), 1e-9, "closest")
    assert (answer.status != Status.WITHIN_EPSILON).all()


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (gurobi, {"mip_gap": -0.1}),
        (gurobi, {"threads": -1}),
        (gurobi, {"threads": 1.5}),
        (gurobi, {"time_limit": 0}),
        (milp, {"mip_gap": "small"}),
        (milp, {"time_limit": -1.0}),
        (Exhaustive, {"max_n": 0}),
    ],
)
def test_wrong_settings_are_refused(build: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"method\.solver\.{next(iter(settings))} must"):
        build(**settings)
