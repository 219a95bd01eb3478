"""What tests of several folders use."""

from collections.abc import Iterator

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.subset_sum.gurobi import Gurobi


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, so that no core is left with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: for networks of a few hundred weights, waiting for a second costs more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def gurobi_licence() -> None:
    """Skips a test where Gurobi has no valid licence: the one that pip installs ends after some two years."""
    try:
        Gurobi(mip_gap=0.01, threads=1, time_limit=None).check_licence(4)
    except ConfigError as refused:
        if "found no licence" not in str(refused):
            raise
        pytest.skip(str(refused))
