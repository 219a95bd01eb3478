"""What tests of several methods ask for."""

from collections.abc import Iterator

import numba
import pytest


@pytest.fixture(scope="module")
def one_numba_thread() -> Iterator[None]:
    """Networks of some hundred weights: waiting for a second thread costs more than it gives; no bit depends on it."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)
