"""Which device torch computes on."""

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError


def device(asked: str) -> str:
    """The device that was asked for or, with auto, a CUDA device where there is one.

    Raises:
        ConfigError: no device of that name, or it is not there.
    """
    checks.device("device", asked)
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = asked.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={asked} was asked for and no CUDA device is there: use device=cpu")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device={asked} was asked for and there are {torch.cuda.device_count()} CUDA devices")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device=mps was asked for and torch finds no such device: use device=cpu")
    return asked
