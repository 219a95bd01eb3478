"""Compensation beside its definition: the best of the columns left, whatever stands in those chosen before."""

from collections.abc import Callable

import numpy as np
import pytest

from lth_runner.construct import compensation
from lth_runner.construct.compensation import Compensation, compensated, inverse_factor, ordered
from lth_runner.core.errors import ConfigError

SETTINGS = {"order": "inputs", "damping": 0.01, "samples": 100, "follow": "pruned"}


def layer(outputs: int = 5, inputs: int = 13, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights, and second moments of correlated inputs of different sizes."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(inputs, inputs)) * rng.uniform(0.1, 2, inputs)
    x = rng.normal(size=(50, inputs)) @ mixing
    return rng.normal(size=(outputs, inputs)), x.T @ x / 50


def rounded(current: np.ndarray, columns: np.ndarray) -> np.ndarray:
    del columns
    return np.round(2 * current) / 2


def explicit(weight: np.ndarray, moments: np.ndarray, block: int, order: str, damping: float) -> np.ndarray:
    """Step by step: all columns not yet chosen become the minimiser of (W - Q) H (W - Q)^T beside those chosen."""
    damped = moments + damping * np.diag(moments).mean() * np.eye(len(moments))
    columns = ordered(moments, order)
    found, current = np.zeros(weight.shape), weight.copy()
    for start in range(0, len(columns), block):
        b, done, rest = columns[start : start + block], columns[: start + block], columns[start + block :]
        found[:, b] = rounded(current[:, b], b)
        error = weight[:, done] - found[:, done]
        shift = error @ damped[np.ix_(done, rest)] @ np.linalg.pinv(damped[np.ix_(rest, rest)])
        current[:, rest] = weight[:, rest] + shift
    return found


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("order", ["inputs", "natural"])
def test_later_columns_are_the_best_beside_the_chosen_ones(block: int, order: str) -> None:
    weight, moments = layer()
    found = compensated(weight, moments, rounded, block=block, order=order, damping=0.05)
    np.testing.assert_array_equal(found, explicit(weight, moments, block, order, 0.05))


def test_it_lowers_the_error_of_the_outputs() -> None:
    weight, moments = layer(30, 40, seed=1)
    plain = weight - rounded(weight, np.arange(40))
    error = weight - compensated(weight, moments, rounded, block=1, order="inputs", damping=0.01)
    assert np.einsum("oi,ij,oj", error, moments, error) < 0.5 * np.einsum("oi,ij,oj", plain, moments, plain)


@pytest.mark.parametrize("block", [1, 4])
def test_independent_inputs_leave_the_plain_choice(block: int) -> None:
    weight, _ = layer()
    for moments in (np.eye(13), np.diag(np.arange(13.0)), np.zeros((13, 13))):
        found = compensated(weight, moments, rounded, block=block, order="inputs", damping=0)
        np.testing.assert_array_equal(found, rounded(weight, np.arange(13)))


@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_inputs_that_are_always_zero_change_nothing(damping: float) -> None:
    weight, moments = layer()
    unused = [0, 7, 12]
    moments[unused] = moments[:, unused] = 0
    found = compensated(weight, moments, rounded, block=1, order="inputs", damping=damping * 10 / 13)
    np.testing.assert_array_equal(found[:, unused], rounded(weight[:, unused], np.array(unused)))
    rest = np.setdiff1d(np.arange(13), unused)
    alone = compensated(
        weight[:, rest],
        moments[np.ix_(rest, rest)],
        rounded,
        block=1,
        order="inputs",
        damping=damping * 10 / 13 * 10 / 13,
    )
    np.testing.assert_array_equal(found[:, rest], alone)


@pytest.mark.parametrize("block", [1, 4, 5])
def test_lazy_updates_change_nothing_but_roundings(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    weight, moments = layer(20, 61, seed=2)

    def run() -> tuple[np.ndarray, list[np.ndarray]]:
        seen: list[np.ndarray] = []

        def choose(current: np.ndarray, columns: np.ndarray) -> np.ndarray:
            seen.append(current.copy())
            return rounded(current, columns)

        return compensated(weight, moments, choose, block=block, order="inputs", damping=0.01), seen

    plain, each = run()
    monkeypatch.setattr(compensation, "LAZY", 10)
    lazy, each_lazy = run()
    np.testing.assert_array_equal(plain, lazy)
    for one, other in zip(each, each_lazy, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def test_the_chooser_is_told_which_columns_it_gets() -> None:
    weight, moments = layer()
    asked: list[np.ndarray] = []

    def choose(current: np.ndarray, columns: np.ndarray) -> np.ndarray:
        assert current.shape == (5, len(columns))
        asked.append(columns)
        return current

    np.testing.assert_array_equal(compensated(weight, moments, choose, block=4, order="inputs", damping=0.1), weight)
    assert [len(columns) for columns in asked] == [4, 4, 4, 1]
    sizes = np.diag(moments)[np.concatenate(asked)]
    assert (np.diff(sizes) <= 0).all()


def test_the_factor_is_that_of_the_inverse() -> None:
    _, moments = layer()
    factor, inverse = inverse_factor(moments, np.arange(len(moments)), 0.1)
    damped = moments + 0.1 * np.diag(moments).mean() * np.eye(13)
    np.testing.assert_allclose(factor.T @ factor @ damped, np.eye(13), atol=1e-10)
    np.testing.assert_allclose(factor @ inverse, np.eye(13), atol=1e-12)
    np.testing.assert_array_equal(factor, np.triu(factor))


def test_dependent_inputs_need_damping() -> None:
    weight, _ = layer()
    x = np.random.default_rng(0).normal(size=(4, 13))
    run: Callable[[float], np.ndarray] = lambda damping: compensated(  # noqa: E731
        weight, x.T @ x, rounded, block=1, order="inputs", damping=damping
    )
    with pytest.raises(ConfigError, match=r"set method.compensation.damping=0.01"):
        run(0.0)
    assert np.isfinite(run(0.01)).all()


@pytest.mark.parametrize(
    ("setting", "value"), [("order", "largest"), ("damping", -0.1), ("samples", 0), ("follow", "nobody")]
)
def test_refusals(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"compensation.{setting} must be"):
        Compensation(**{**SETTINGS, setting: value})
