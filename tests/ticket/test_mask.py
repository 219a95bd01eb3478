"""Packed masks against the bool arrays they stand for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lth_runner.ticket.mask import Mask

DENSE = hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=4, max_side=9))


@given(dense=DENSE, data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_mask_is_its_bool_array(dense: np.ndarray, data: st.DataObject) -> None:
    mask = Mask.pack(dense)
    np.testing.assert_array_equal(mask.dense(), dense)
    assert (mask.size, mask.kept()) == (dense.size, np.count_nonzero(dense))
    start = data.draw(st.integers(0, dense.shape[0]))
    stop = data.draw(st.integers(start, dense.shape[0]))
    np.testing.assert_array_equal(mask.rows(start, stop), dense[start:stop])


def test_bits_that_do_not_fit_the_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        Mask((3, 3), np.zeros(1, dtype=np.uint8))
    with pytest.raises(ValueError, match="cannot hold"):
        Mask((8,), np.zeros(1, dtype=np.int8))
