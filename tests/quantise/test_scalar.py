"""Rounding to scalar codes: the errors that theory and published tables say, and brute force where it can be had."""

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.networks.levels import EvenLevels, Levels, LloydMax, NormalFloat, WholeLevels
from lth_runner.networks.rotated_code import rotation
from lth_runner.quantise.scalar import SHRINKS, Grid, outliers, rotated
from lth_runner.ticket.coder import entropy_bits, histogram

NORMAL = 0.02 * np.random.default_rng(0).normal(size=(256, 512))


def grid(levels: Levels, scale: str, group: int | None = None, escape: float | None = None) -> Grid:
    return Grid(levels=levels, scale=scale, group=group, escape=escape)


def squared_error(found: Grid, weight: np.ndarray) -> float:
    """Relative to the weights' squares."""
    return float(np.sum((found.encode(weight).decoded(weight.shape) - weight) ** 2) / np.sum(weight**2))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (grid(LloydMax(bits=1), "rms"), 0.3634),
        (grid(LloydMax(bits=2), "rms"), 0.1175),
        (grid(LloydMax(bits=3), "rms"), 0.03454),
        (grid(LloydMax(bits=4), "rms"), 0.009497),
        (grid(NormalFloat(bits=4), "range", 64), 0.0085),
        (grid(WholeLevels(bits=2), "range", 128), 0.251),
        (grid(WholeLevels(bits=3), "range", 128), 0.0458),
        (grid(WholeLevels(bits=4), "range", 128), 0.0100),
        (grid(EvenLevels(bits=8, step=0.2), "rms"), 0.2**2 / 12),
    ],
)
def test_errors_on_normal_weights_are_those_of_the_tables(found: Grid, expected: float) -> None:
    assert squared_error(found, NORMAL) == pytest.approx(expected, rel=0.025)


def test_fine_steps_take_the_bits_that_theory_says() -> None:
    """h(N(0, 1)) - log2(step) for an entropy-coded uniform quantiser."""
    indices = grid(EvenLevels(bits=8, step=0.2), "rms").encode(NORMAL).parts["indices"]
    bits = entropy_bits(histogram(indices.ravel(), 256)) / indices.size
    assert bits == pytest.approx(np.log2(np.sqrt(2 * np.pi * np.e) / 0.2), abs=0.01)


def test_every_weight_is_within_half_a_step_on_the_whole_range() -> None:
    weight = np.random.default_rng(2).standard_t(3, size=(7, 50))
    encoded = grid(WholeLevels(bits=4), "range", 16).encode(weight)
    steps = np.repeat(encoded.parts["scales"].astype(np.float64), 16, axis=1)[:, :50]
    assert (np.abs(encoded.decoded(weight.shape) - weight) <= 0.5001 * steps + 0.01 * steps * 15).all()
    assert encoded.parts["scales"].shape == encoded.parts["zeros"].shape == (7, 4)


@pytest.mark.parametrize(("levels", "zero_point"), [(WholeLevels(bits=2), True), (NormalFloat(bits=3), False)])
def test_the_searched_share_is_the_best_of_those_tried(levels: Levels, zero_point: bool) -> None:
    """Each group by itself, one share after the other, with rounded scales."""
    weight, size = np.random.default_rng(3).normal(size=(5, 24)), 8
    decoded = grid(levels, "searched", size).encode(weight).decoded(weight.shape)
    values = levels.values()
    for row in range(5):
        for start in range(0, 24, size):
            group, errors = weight[row, start : start + size], []
            for share in SHRINKS:
                low, high = (0.0, np.abs(group).max()) if not zero_point else (min(0, group.min()), max(0, group.max()))
                width = values[-1] - values[0] if zero_point else values[-1]
                scale = float(np.float16(share * (high - low) / width))
                zero = np.rint(-share * low / scale) if zero_point else 0.0
                choices = scale * (values - zero)
                errors.append(np.sum((choices[np.abs(group[:, None] - choices).argmin(1)] - group) ** 2))
            found = np.sum((decoded[row, start : start + size] - group) ** 2)
            assert found == pytest.approx(min(errors), rel=1e-9)


def test_outliers_are_stored_and_have_no_part_in_scales() -> None:
    weight = np.random.default_rng(4).normal(size=(6, 200))
    weight[2, 17], weight[5, 0] = 90.0, -60.0
    plain, escaped = (grid(WholeLevels(bits=4), "range", None, escape).encode(weight) for escape in (None, 6.0))
    assert escaped.parts["escape_places"].tolist() == [2 * 200 + 17, 5 * 200]
    decoded = escaped.decoded(weight.shape)
    assert (decoded[2, 17], decoded[5, 0]) == (90.0, -60.0)
    others = np.abs(weight) < 50
    error = [np.sum((each.decoded(weight.shape) - weight)[others] ** 2) for each in (plain, escaped)]
    assert error[1] < 0.1 * error[0]
    assert not outliers(np.eye(5), 4.0).any(), "of rows that are mostly zeros none is an outlier"


def test_zeros_and_convolutions_are_codes_like_any_other() -> None:
    weight = np.random.default_rng(5).normal(size=(4, 3, 3, 3))
    weight[1] = 0
    for found in (
        grid(WholeLevels(bits=4), "searched", 8),
        grid(LloydMax(bits=4), "rms"),
        grid(NormalFloat(bits=4), "range", 9),
    ):
        encoded = found.encode(weight)
        assert encoded.decoded(weight.shape).shape == weight.shape and not encoded.decoded(weight.shape)[1].any()
        parts = encoded.code.parts(weight.shape)
        assert {name: (part.shape, part.dtype.type) for name, part in encoded.parts.items()} == parts


def test_rotated_weights_look_normal_whatever_they_were() -> None:
    """Student's t with 3 degrees of freedom; rotating changes no error, and the seed alone says how."""
    weight, lloyd = np.random.default_rng(6).standard_t(3, size=(64, 256)), grid(LloydMax(bits=4), "rms")
    encoded = rotated(lloyd.encode, weight, 5)
    found = np.sum((encoded.decoded(weight.shape) - weight) ** 2) / np.sum(weight**2)
    assert found == pytest.approx(0.0095, rel=0.05) and squared_error(lloyd, weight) > 5 * found
    turn = rotation(5, 256)
    np.testing.assert_allclose(turn @ turn.T, np.eye(256), atol=1e-12)
    assert encoded.parts["rotation"].tolist() == [5] and not np.allclose(rotation(6, 256), turn)
    inside = encoded.code.code.decoded(encoded.parts, weight.shape) - weight @ turn.T  # pyright: ignore[reportAttributeAccessIssue]
    assert np.sum(inside**2) == pytest.approx(found * np.sum(weight**2))


def test_impossible_grids_are_refused() -> None:
    for change in ({"scale": "rms"}, {"scale": "mean"}, {"group": 0}, {"escape": 0.0}):
        settings = {"levels": WholeLevels(bits=4), "scale": "range", "group": 64, "escape": None, **change}
        with pytest.raises(ConfigError, match=r"scale|group|escape"):
            Grid(**settings)
