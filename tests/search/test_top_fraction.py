"""The selection of the largest scores against a stable sort, for any scores, ties and counts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lth_runner.search.top_fraction import (
    kept_count,
    magnitude_keys,
    row_keys,
    row_masks,
    sorted_masks,
    top_mask,
    top_masks,
)

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


@pytest.mark.slow
@given(scores=SCORES, density=st.one_of(st.sampled_from([0.0, 0.004, 0.5, 1.0]), st.floats(0, 1)))
@settings(max_examples=300, deadline=None)
def test_mask_is_that_of_a_stable_sort(scores: np.ndarray, density: float) -> None:
    kept = kept_count(density, scores.size)
    mask = top_mask(torch.from_numpy(scores), kept)
    np.testing.assert_array_equal(mask.numpy(), sorted_mask(scores, kept))
    assert mask.sum() == kept


@pytest.mark.slow
@given(rows=st.integers(1, 4), size=st.integers(1, 60), data=st.data())
@settings(max_examples=200, deadline=None)
def test_rows_are_cut_as_each_would_be_alone(rows: int, size: int, data: st.DataObject) -> None:
    elements = data.draw(st.sampled_from([FEW_VALUES, ANY_VALUES]))
    scores = data.draw(hnp.arrays(np.float32, (rows, size), elements=elements))
    kept = data.draw(st.lists(st.integers(0, size), min_size=rows, max_size=rows))
    keys, wanted = magnitude_keys(torch.from_numpy(scores)), torch.tensor(kept, dtype=torch.int32)
    masks = row_masks(keys, row_keys(keys, wanted), wanted).numpy()
    np.testing.assert_array_equal(sorted_masks(keys, wanted).numpy(), masks)
    for row in range(rows):
        np.testing.assert_array_equal(masks[row], sorted_mask(scores[row], kept[row]))


@pytest.mark.parametrize("kept", [0, 1, 7, 3333, 9_999, 10_000])
def test_many_ties(kept: int) -> None:
    scores = np.random.default_rng(0).integers(-20, 20, 10_000).astype(np.float32)
    np.testing.assert_array_equal(top_mask(torch.from_numpy(scores), kept).numpy(), sorted_mask(scores, kept))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [100, 129, 240_000, 1_960_000])
def test_compiled_for_a_gpu_it_is_the_same(size: int) -> None:
    generator = np.random.default_rng(0)
    scores = np.stack([generator.integers(-50, 50, size), generator.standard_normal(size)]).astype(np.float32)
    for kept in ([size // 3, size // 10], [0, size]):
        wanted = torch.tensor(kept, dtype=torch.int32, device="cuda")
        masks = top_masks(torch.from_numpy(scores).cuda(), wanted).cpu().numpy()
        for row in range(2):
            np.testing.assert_array_equal(masks[row], sorted_mask(scores[row], kept[row]))
