"""What is coded is decoded alike, and takes what its entropy says."""

import numpy as np
import pytest

from lth_runner.core.errors import DataError
from lth_runner.ticket.coder import code_bits, coded, counts_bits, decoded, entropy_bits, histogram


def binary_entropy(share: float) -> float:
    """H2, in bits."""
    return -(share * np.log2(share) + (1 - share) * np.log2(1 - share))


@pytest.mark.parametrize(("size", "kept"), [(100_000, 2_700), (100_000, 25_000), (60_000, 30_000), (21_000, 570)])
def test_a_mask_of_fixed_density_takes_the_binary_entropy(size: int, kept: int) -> None:
    symbols = np.zeros(size, np.uint8)
    symbols[np.random.default_rng(0).permutation(size)[:kept]] = 1
    counts = histogram(symbols, 2)
    ideal = size * binary_entropy(kept / size)
    assert entropy_bits(counts) == pytest.approx(ideal, rel=1e-12)
    assert ideal < code_bits(symbols, counts) < 1.01 * ideal + 64
    assert np.array_equal(decoded(coded(symbols, counts), counts), symbols)


@pytest.mark.parametrize("num_symbols", [1, 2, 3, 16, 256])
def test_what_is_coded_is_decoded(num_symbols: int) -> None:
    generator = np.random.default_rng(num_symbols)
    symbols = np.minimum(generator.geometric(0.2, 20_000) - 1, num_symbols - 1).astype(np.uint8)
    counts = histogram(symbols, num_symbols)
    assert np.array_equal(decoded(coded(symbols, counts), counts), symbols)
    assert code_bits(symbols, counts) <= 1.01 * entropy_bits(counts) + counts_bits(counts) + 64


def test_nothing_takes_nothing() -> None:
    assert coded(np.zeros(0, np.uint8), [0, 0]).size == 0 and decoded(np.zeros(0, np.uint32), [0, 0]).size == 0
    assert entropy_bits([0, 0]) == 0 and entropy_bits([7, 0]) == 0


def test_words_that_nothing_is_coded_as_are_refused() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        with pytest.raises(DataError, match="altered"):
            decoded(generator.integers(1 << 32, size=3, dtype=np.uint32), [7000, 3000])
    for words, counts in ((np.zeros(3, np.uint8), [1, 1]), (np.zeros(3, np.uint32), [1, -1])):
        with pytest.raises(DataError, match="altered"):
            decoded(words, counts)
