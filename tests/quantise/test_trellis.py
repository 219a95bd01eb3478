"""Trellis codes: no other walk is nearer, and the errors are those that are expected of random values."""

import itertools

import numpy as np
import pytest

from lth_runner.construct.compensation import Compensation
from lth_runner.laws.rate_distortion import lost_bits
from lth_runner.networks.trellis_code import TrellisCode, trellis_values
from lth_runner.quantise.trellis import Trellis


def method(bits: int, register: int, order: str = "natural") -> Trellis:
    how = Compensation(order=order, damping=0.01, samples=1, follow="target")
    return Trellis(
        bits=bits, register=register, factor=1.05, rotate=False, stored=[], compensate="inputs", compensation=how
    )


def squared_error(made: Trellis, weight: np.ndarray) -> float:
    return float(np.sum((made.plain(weight).decoded(weight.shape) - weight) ** 2) / np.sum(weight**2))


@pytest.mark.parametrize(("bits", "register", "columns"), [(1, 3, 7), (2, 4, 4), (3, 3, 3)])
def test_no_other_walk_is_nearer(bits: int, register: int, columns: int) -> None:
    weight = np.random.default_rng(0).normal(size=(columns, 6))
    encoded = method(bits, register).plain(weight)
    found = np.sum((encoded.decoded(weight.shape) - weight) ** 2, axis=0)
    every = np.array(list(itertools.product(range(2**register), *[range(2**bits)] * columns))).T
    parts = {"indices": every[1:].astype(np.uint8), "scales": encoded.parts["scales"], "starts": every[:1]}
    walks = encoded.code.decoded(parts, every[1:].shape)
    for column in range(6):
        least = np.sum((walks - weight[:, column : column + 1]) ** 2, axis=0).min()
        assert found[column] == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize(("bits", "expected"), [(1, 0.284), (2, 0.077), (3, 0.0204), (4, 0.0054)])
def test_bits_lost_on_normal_weights_are_those_of_the_table(bits: int, expected: float) -> None:
    weight = np.random.default_rng(1).normal(size=(128, 200))
    error, counted = squared_error(method(bits, 12), weight), bits + 12 / 128  # a walk of 128 rows says where it begins
    assert float(lost_bits(error, counted)) == pytest.approx(float(lost_bits(expected, bits)), abs=0.045)


def test_values_are_normal_and_the_same_for_everybody() -> None:
    values = trellis_values(12)
    assert np.mean(values) == pytest.approx(0, abs=1e-12) and np.mean(values**2) == pytest.approx(1, abs=2e-3)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.06


@pytest.mark.parametrize("order", ["natural", "inputs"])
def test_fed_back_errors_are_smaller_where_inputs_depend_on_each_other(order: str) -> None:
    generator = np.random.default_rng(2)
    weight, inputs = (
        generator.normal(size=(64, 2, 12)),
        generator.normal(size=(300, 24)) + 1.5 * generator.normal(size=(300, 1)),
    )
    moments = (inputs.T @ inputs / 300)[None]
    made, losses = method(2, 8, order), []
    for encoded in (made.plain(weight), made.data_aware(weight, moments)):
        error = (encoded.decoded(weight.shape) - weight).reshape(64, -1)
        losses.append(float(np.einsum("ri,ij,rj", error, moments[0], error)))
        assert {name: (part.shape, part.dtype.type) for name, part in encoded.parts.items()} == encoded.code.parts(
            weight.shape
        )
    assert losses[1] < 0.6 * losses[0]


def test_a_row_of_zeros_is_a_row_of_zeros() -> None:
    weight = np.random.default_rng(3).normal(size=(3, 10))
    weight[1] = 0
    assert not method(2, 6).plain(weight).decoded(weight.shape)[1].any()


def test_groups_of_a_convolution_have_walks_of_their_own() -> None:
    weight, moments = np.random.default_rng(4).normal(size=(6, 2, 3, 3)), np.stack([np.eye(18), 2 * np.eye(18)])
    encoded = method(2, 6).data_aware(weight, moments)
    assert isinstance(encoded.code, TrellisCode) and encoded.code.walk == 3
    halves = [method(2, 6).plain(half).decoded(half.shape) for half in (weight[:3], weight[3:])]
    np.testing.assert_allclose(encoded.decoded(weight.shape), np.concatenate(halves), atol=1e-12)
