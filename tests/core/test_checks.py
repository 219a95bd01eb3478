"""Names of devices."""

from typing import Any

import pytest

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError


@pytest.mark.parametrize("name", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:13"])
def test_devices(name: str) -> None:
    checks.device("device", name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:one", "cpu:0", "CUDA", "", None, 0, "cuda:1\n"])
def test_what_is_no_device_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"device must be auto, cpu, cuda, cuda:1 \(or another number\) or mps"):
        checks.device("device", name)
