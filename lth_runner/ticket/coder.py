"""Entropy coding of masks and indices: what they take on average once the frequencies of their symbols are known.

One frequency table for a whole tensor, no context: a mask that keeps k of n entries takes n H2(k / n) bits. Of long
masks the coder takes 0.15 % more where a hundredth is kept, and less than that above; but .7 % more of a thousandth and
4 % of a ten-thousandth, where its whole words and rounded frequencies show.
"""

from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np

from lth_runner.core.errors import DataError

stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue]  (compiled, without stubs)

BLOCK = 1 << 22  # symbols handed over at a time: the coder takes four bytes for each
WORD = 32  # bits in a word of code


def coded(symbols: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """The words of code of N symbols.

    Args:
        symbols: (N,) of any whole type, each below len(counts).
        counts: how often each symbol occurs.

    Returns:
        (W,) uint32.
    """
    encoder, model = stream.queue.RangeEncoder(), _model(counts)
    for start in range(0, symbols.size, BLOCK):
        encoder.encode(symbols[start : start + BLOCK].astype(np.int32), model)
    return encoder.get_compressed().astype(np.uint32, copy=False)


def decoded(words: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """The symbols that `coded` was given.

    Returns:
        (sum of the counts,) uint8.

    Raises:
        DataError: no symbols of such counts have this code.
    """
    if words.dtype != np.uint32 or not counts or not all(type(count) is int and count >= 0 for count in counts):
        raise DataError("its coded tensors have no words or no counts: the file was altered")
    found = np.empty(sum(counts), np.uint8)
    decoder, model = stream.queue.RangeDecoder(words), _model(counts)
    try:
        for start in range(0, found.size, BLOCK):
            found[start : start + BLOCK] = decoder.decode(model, min(BLOCK, found.size - start))
    except AssertionError as error:  # what the coder says of words that nothing is coded as
        raise DataError("its coded tensors cannot be decoded: the file was altered") from error
    if not np.array_equal(histogram(found, len(counts)), counts):
        raise DataError("its coded tensors do not have the counts that it names: the file was altered")
    return found


def histogram(symbols: np.ndarray, num_symbols: int) -> list[int]:
    """How often each of the symbols 0 to num_symbols - 1 occurs."""
    return np.bincount(symbols, minlength=num_symbols).tolist()


def entropy_bits(counts: Sequence[int]) -> float:
    """What no code for symbols of these frequencies goes below on average: sum over symbols of -count log2(share)."""
    own = np.array([count for count in counts if count], dtype=np.float64)
    return float(own @ np.log2(own.sum() / own)) if own.size else 0.0


def counts_bits(counts: Sequence[int]) -> int:
    """What the counts themselves take: all but one, since their sum is known, each in a whole number of bits."""
    return (len(counts) - 1) * sum(counts).bit_length()


def code_bits(symbols: np.ndarray, counts: Sequence[int]) -> int:
    """What the symbols take as `coded` writes them, with their counts."""
    return WORD * coded(symbols, counts).size + counts_bits(counts)


def _model(counts: Sequence[int]) -> Any:
    shares = np.array([*counts, 0][: max(2, len(counts))], dtype=np.float64)  # a model has two symbols or more
    return stream.model.Categorical(shares / shares.sum() if shares.any() else shares + 0.5, perfect=False)
