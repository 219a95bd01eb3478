"""SeedLM: registers of full period, the best seed of all, and the errors that others measured."""

import numpy as np
import pytest

from lth_runner.networks.lfsr_code import LOWEST, TAPS, LfsrCode, lfsr_states
from lth_runner.quantise.seedlm import encode


@pytest.mark.parametrize("register", TAPS)
def test_a_register_goes_through_all_states_but_zero(register: int) -> None:
    states = lfsr_states(register)
    assert np.array_equal(np.sort(states), np.arange(1, 2**register))


def test_vectors_are_the_states_that_follow_a_seed() -> None:
    code, states = LfsrCode(register=5, block=4, basis=3), lfsr_states(5)
    seed = int(states[7])
    expected = (states[(7 + 1 + np.arange(12)) % 31] - 16) / 15
    np.testing.assert_array_equal(code.vectors()[seed - 1], expected.reshape(4, 3))
    assert np.abs(code.vectors()).max() == 1


@pytest.mark.parametrize(("register", "block", "basis"), [(6, 4, 2), (7, 5, 3), (3, 3, 3)])
def test_no_other_seed_is_better(register: int, block: int, basis: int) -> None:
    """Every seed, with coefficients from plain least squares, rounded at two exponents."""
    code = LfsrCode(register=register, block=block, basis=basis)
    weight = np.random.default_rng(0).normal(size=(6, 2 * block + 1))
    encoded = encode(weight, code)
    scale = float(encoded.parts["scale"][0])
    blocks = np.pad(weight.ravel(), (0, -weight.size % block)).reshape(-1, block) / scale
    decoded = np.pad(encoded.decoded(weight.shape).ravel(), (0, -weight.size % block)).reshape(-1, block) / scale
    for number, wanted in enumerate(blocks):
        errors = []
        for vectors in code.vectors():
            exact = np.linalg.lstsq(vectors, wanted, rcond=1e-9)[0]
            fitting = int(np.ceil(np.log2(np.abs(exact).max() / 7.5)))
            for exponent in np.clip([fitting, fitting - 1], LOWEST, LOWEST + 15):
                rounded = np.clip(np.rint(exact * 2.0**-exponent), -8, 7) * 2.0**exponent
                errors.append(np.sum((vectors @ rounded - wanted) ** 2))
        own = slice(None) if number < len(blocks) - 1 else slice(0, block - (-weight.size % block))
        if own == slice(None):
            assert np.sum((decoded[number] - wanted) ** 2) == pytest.approx(min(errors), rel=1e-6)


def test_a_block_of_zeros_is_a_block_of_zeros() -> None:
    weight = np.zeros((2, 8))
    assert not encode(weight, LfsrCode(register=6, block=4, basis=2)).decoded(weight.shape).any()
    weight[0, :4] = 1.0
    assert not encode(weight, LfsrCode(register=6, block=4, basis=2)).decoded(weight.shape)[0, 4:].any()


@pytest.mark.slow
@pytest.mark.parametrize(("block", "basis", "measured"), [(8, 3, 0.0151), (12, 4, 0.0509)])
def test_errors_on_normal_weights_are_those_that_others_measured(block: int, basis: int, measured: float) -> None:
    """Or a little less: here the error after rounding decides."""
    weight = np.random.default_rng(0).normal(size=(1, 600 * block))
    error = np.sum(
        (encode(weight, LfsrCode(register=16, block=block, basis=basis)).decoded(weight.shape) - weight) ** 2
    )
    assert 0.9 * measured < error / np.sum(weight**2) < 1.01 * measured
