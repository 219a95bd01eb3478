"""What every solver in configs/method/solver promises. A new solver is tested as soon as its YAML is there."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import errors_by_size, optimum
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.interface import OBJECTIVES, Status, SubsetSumSolver, certify

CONFIGS = sorted((Path(__file__).parents[2] / "configs/method/solver").glob("*.yaml"))
MIP_TOLERANCE = 2e-5  # a mixed-integer solver takes 0.99999 for 1
EPSILON = 0.05


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The contents of one YAML file, in a run on the CPU."""
    root: Any = OmegaConf.to_container(
        OmegaConf.create({"device": "cpu", "solver": OmegaConf.load(request.param)}), resolve=True
    )
    return root["solver"]


@pytest.fixture
def solver(config: dict[str, Any]) -> SubsetSumSolver:
    """The solver as a run builds it; skipped where the machine has no licence for it."""
    built = instantiate(config, _convert_="all")
    try:
        built.solve(np.ones((1, 1)), np.ones(1), 0.1, "closest")
    except ConfigError as error:
        pytest.skip(str(error))
    return built


def instances() -> tuple[np.ndarray, np.ndarray]:
    """Random rows of 7 values, and the awkward ones: equal, zero, one-signed, repeated, targets out of reach."""
    rng = np.random.default_rng(7)
    values = rng.uniform(-0.5, 0.5, (20, 7))
    targets = rng.normal(0, 0.2, 20)
    values[0] = 0.25
    values[1] = 0.0
    values[2], targets[2] = np.abs(values[2]), -0.3
    values[3], targets[3] = -np.abs(values[3]), -0.9
    values[4, 1:] = values[4, 0]
    targets[5:9] = [9.0, -9.0, 0.0, EPSILON / 2]
    return values, targets


def test_keys_are_the_constructor_arguments(config: dict[str, Any]) -> None:
    built = type(instantiate(config, _convert_="all"))
    assert set(config) - {"_target_"} == set(inspect.signature(built).parameters)
    assert all(p.default is p.empty for p in inspect.signature(built).parameters.values())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_keeps_its_promise(solver: SubsetSumSolver, objective: str) -> None:
    values, targets = instances()
    answer = solver.solve(values, targets, EPSILON, objective)
    certified = certify(values, targets, answer.chosen, EPSILON)
    np.testing.assert_array_equal(answer.error, certified.error)
    kept = answer.status != Status.UNSOLVED
    np.testing.assert_array_equal(answer.status[kept], certified.status[kept])
    for b, (row, target) in enumerate(zip(values.tolist(), targets.tolist(), strict=True)):
        best, terms = optimum(row, target, EPSILON, objective)
        by_size = errors_by_size(row, target)
        assert answer.error[b] >= by_size[answer.chosen[b].sum()] - 1e-12, "nobody beats brute force"
        if solver.exact:
            assert answer.error[b] == pytest.approx(best, abs=1e-12)
            assert answer.status[b] == (Status.WITHIN_EPSILON if best <= EPSILON else Status.BEYOND_EPSILON)
            assert terms is None or answer.chosen[b].sum() == terms
        elif min(by_size) > EPSILON + MIP_TOLERANCE:
            assert answer.status[b] == Status.UNSOLVED
        elif objective == "closest":
            assert answer.error[b] <= 1.01 * best + MIP_TOLERANCE
        else:
            assert terms is None or answer.chosen[b].sum() <= terms


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_shared_row_is_each_row(solver: SubsetSumSolver, objective: str) -> None:
    values, targets = instances()
    shared = solver.solve(values[10:11], targets, EPSILON, objective)
    repeated = solver.solve(np.tile(values[10], (20, 1)), targets, EPSILON, objective)
    np.testing.assert_allclose(shared.error, repeated.error, atol=1e-15)
    assert shared.chosen.shape == (20, 7)


def test_one_value_and_no_instance(solver: SubsetSumSolver) -> None:
    answer = solver.solve(np.array([[0.5], [0.5]]), np.array([0.5, 0.0]), 0.1, "sparsest")
    np.testing.assert_array_equal(answer.chosen, [[True], [False]])
    none = solver.solve(np.empty((0, 3)), np.empty(0), 0.1, "closest")
    assert none.chosen.shape == (0, 3)
    assert none.error.size == none.status.size == 0


def test_leaves_its_input_alone(solver: SubsetSumSolver) -> None:
    values, targets = instances()
    values, targets = np.asfortranarray(values), np.repeat(targets, 2)[::2]
    kept = values.copy(), targets.copy()
    values.flags.writeable = targets.flags.writeable = False
    solver.solve(values, targets, EPSILON, "closest")
    np.testing.assert_array_equal(values, kept[0])
    np.testing.assert_array_equal(targets, kept[1])


@pytest.mark.parametrize(
    ("values", "targets", "epsilon", "objective", "words"),
    [
        ([[np.nan, 1.0]], [0.0], 0.1, "closest", "values must be finite"),
        ([[1.0, 1.0]], [np.inf], 0.1, "closest", "targets must be finite"),
        ([[1e301, 1.0]], [0.0], 0.1, "closest", "at most 1e"),
        ([[1.0], [1.0]], [0.0, 0.0, 0.0], 0.1, "closest", "shape"),
        ([1.0, 1.0], [0.0, 0.0], 0.1, "closest", "shape"),
        (np.empty((1, 0)), [0.0], 0.1, "closest", "n must be at least 1"),
        ([[1.0]], [0.0], 0.0, "closest", "epsilon must be above 0"),
        ([[1.0]], [0.0], 0.1, "closets", "did you mean closest"),
    ],
)
def test_refuses_what_is_no_instance(
    solver: SubsetSumSolver, values: Any, targets: Any, epsilon: float, objective: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        solver.solve(np.array(values), np.array(targets), epsilon, objective)
    assert "\n" not in str(refused.value)
