"""GPTQ against its definition: at each step the weights not yet rounded are the best ones beside those that are."""

import itertools

import numpy as np
import pytest
from small_networks import FC, SMALL, dataset, target

import lth_runner as lth
from lth_runner.construct.compensation import Compensation
from lth_runner.measure.bits import bits
from lth_runner.networks.levels import LloydMax, NormalFloat, WholeLevels
from lth_runner.quantise.gptq import encode
from lth_runner.quantise.scalar import Grid


def moments(columns: int, seed: int) -> np.ndarray:
    """Of inputs that are far from independent."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(200, columns)) @ generator.normal(size=(columns, columns))
    inputs *= np.exp(generator.normal(size=columns))
    return inputs.T @ inputs / 200


def settings(order: str, damping: float) -> Compensation:
    return Compensation(order=order, damping=damping, samples=1, follow="target")


def loss(error: np.ndarray, moment: np.ndarray) -> float:
    return float(np.einsum("ri,ij,rj", error, moment, error))


@pytest.mark.parametrize("escape", [None, 2.0])
@pytest.mark.parametrize("order", ["inputs", "natural"])
@pytest.mark.parametrize("levels", [WholeLevels(bits=3), NormalFloat(bits=4)])
def test_it_takes_the_nearest_level_and_moves_the_others_to_their_optimum(
    levels: WholeLevels | NormalFloat, order: str, escape: float | None
) -> None:
    """The optimum is solved for afresh after each column: no factor of an inverse is updated."""
    weight, moment, damping = np.random.default_rng(1).standard_t(4, size=(5, 12)), moments(12, 2), 0.05
    grid = Grid(levels=levels, scale="searched", group=4, escape=escape)
    rounder = grid.prepare(weight)
    assert escape is None or rounder.escaping.any()
    damped = moment + damping * np.diag(moment).mean() * np.eye(12)
    columns = np.argsort(-np.diag(moment)) if order == "inputs" else np.arange(12)
    expected, current = np.zeros_like(weight), weight.copy()
    for step in range(12):
        done, rest, one = columns[: step + 1], columns[step + 1 :], columns[step : step + 1]
        index = rounder.indices(current[:, one], one)
        escaped = current[:, one].astype(np.float16)
        expected[:, one] = np.where(rounder.escaping[:, one], escaped, rounder.values(index, one))
        error = expected[:, done] - weight[:, done]
        moved = np.linalg.solve(damped[np.ix_(rest, rest)], damped[np.ix_(rest, done)] @ error.T).T
        current[:, rest] = weight[:, rest] - moved
    found = encode(weight, moment[None], grid, settings(order, damping)).decoded(weight.shape)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_independent_inputs_leave_it_at_the_nearest_level() -> None:
    weight, grid = (
        np.random.default_rng(3).normal(size=(6, 20)),
        Grid(levels=LloydMax(bits=3), scale="rms", group=None, escape=None),
    )
    moment = np.diag(np.random.default_rng(4).uniform(1, 9, 20))
    found = encode(weight, moment[None], grid, settings("inputs", 0.0))
    np.testing.assert_array_equal(found.parts["indices"], grid.encode(weight).parts["indices"])


def test_between_the_best_of_all_codes_and_rounding_to_nearest() -> None:
    """4 columns of 2 bits have 256 codes a row."""
    grid, totals = Grid(levels=WholeLevels(bits=2), scale="range", group=None, escape=None), np.zeros(3)
    for seed in range(40):
        weight, moment = np.random.default_rng(seed).normal(size=(4, 4)), moments(4, seed)
        rounder = grid.prepare(weight)
        found = encode(weight, moment[None], grid, settings("inputs", 0.0)).decoded(weight.shape)
        codes = np.array(list(itertools.product(range(4), repeat=4)), np.uint8)
        best = 0.0
        for row in range(4):
            values = rounder.values(codes, np.arange(4), slice(row, row + 1)) - weight[row]
            best += np.einsum("ki,ij,kj->k", values, moment, values).min()
        losses = [best, loss(found - weight, moment), loss(grid.encode(weight).decoded(weight.shape) - weight, moment)]
        assert losses[0] <= losses[1] + 1e-9
        totals += losses
    assert totals[0] < totals[1] < 0.85 * totals[2]


def test_each_group_of_a_convolution_has_inputs_of_its_own() -> None:
    weight = np.random.default_rng(5).normal(size=(6, 2, 3, 3))
    moment, grid = (
        np.stack([moments(18, 6), moments(18, 7)]),
        Grid(levels=WholeLevels(bits=4), scale="range", group=6, escape=None),
    )
    whole = encode(weight, moment, grid, settings("inputs", 0.01)).decoded(weight.shape)
    for half in range(2):
        rows = slice(3 * half, 3 * half + 3)
        alone = encode(weight[rows], moment[half][None], grid, settings("inputs", 0.01)).decoded(weight[rows].shape)
        np.testing.assert_array_equal(whole[rows], alone)


def test_rotated_inputs_are_taken_back_and_a_seed_is_paid_for() -> None:
    small, found = SMALL["fc"], {}
    for rotate in (False, True):
        found[rotate] = lth.find(
            "gptq",
            FC,
            target=target(small),
            data=dataset(small),
            progress=False,
            rotate=rotate,
            levels="lloyd_max",
            scale="rms",
        )
        assert lth.verify(found[rotate].ticket, target=target(small), data=dataset(small))
    plain, turned = (bits(found[rotate].ticket.ticket)["bits_code"] for rotate in (False, True))
    assert turned == plain + 2 * 64
    assert found[True].measured["output_cosine_mean"] > 0.95
