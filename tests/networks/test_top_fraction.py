"""The selection of the largest scores against a stable sort, for any scores, ties and counts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lth_runner.networks.top_fraction import cut_mask, find_cut, kept_count, magnitude_keys, top_mask

FEW_VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1e-40, 3e38])  # ties, signs, a denormal and a huge number
ANY_VALUES = st.floats(allow_nan=False, allow_infinity=False, width=32)
SCORES = st.one_of(
    *(hnp.arrays(np.float32, st.integers(1, 200), elements=values) for values in (FEW_VALUES, ANY_VALUES))
)


def sorted_mask(scores: np.ndarray, kept: int) -> np.ndarray:
    """The definition: sort by magnitude, largest first, equal ones in the order of their index."""
    mask = np.zeros(scores.size, bool)
    mask[np.argsort(-np.abs(scores), kind="stable")[:kept]] = True
    return mask


@given(scores=SCORES, density=st.one_of(st.sampled_from([0.0, 0.004, 0.5, 1.0]), st.floats(0, 1)))
@settings(max_examples=300, deadline=None)
def test_mask_is_that_of_a_stable_sort(scores: np.ndarray, density: float) -> None:
    kept = kept_count(density, scores.size)
    mask = top_mask(torch.from_numpy(scores), kept)
    np.testing.assert_array_equal(mask.numpy(), sorted_mask(scores, kept))
    assert mask.sum() == kept


@given(rows=st.integers(1, 3), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), data=st.data())
@settings(max_examples=100, deadline=None)
def test_rows_and_segments_are_cut_independently(rows: int, sizes: list[int], data: st.DataObject) -> None:
    scores = data.draw(hnp.arrays(np.float32, (rows, sum(sizes)), elements=FEW_VALUES))
    kept = [[data.draw(st.integers(0, size)) for size in sizes] for _ in range(rows)]
    segment = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
    keys = magnitude_keys(torch.from_numpy(scores))
    mask = cut_mask(keys, segment, find_cut(keys, segment, torch.tensor(kept))).numpy()
    edges = np.cumsum([0, *sizes])
    for row in range(rows):
        for part in range(len(sizes)):
            columns = slice(edges[part], edges[part + 1])
            np.testing.assert_array_equal(mask[row, columns], sorted_mask(scores[row, columns], kept[row][part]))


@pytest.mark.parametrize("kept", [0, 1, 7, 3333, 9_999, 10_000])
def test_large_tied_and_shaped_scores(kept: int) -> None:
    scores = np.random.default_rng(0).integers(-20, 20, 10_000).astype(np.float32)
    mask = top_mask(torch.from_numpy(scores.reshape(100, 100)), kept)
    assert mask.shape == (100, 100)
    np.testing.assert_array_equal(mask.numpy().ravel(), sorted_mask(scores, kept))
