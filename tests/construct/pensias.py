"""Small problems and the settings of Pensia that its tests share."""

from typing import Any

import numpy as np
import torch
from plain_choice import DOUBLED, PLAIN_PATHS
from small_convolution import SmallConvolution

from lth_runner.construct.pensia import Pensia
from lth_runner.core.streams import Streams
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.problem import Problem

LAW = DOUBLED["distribution"]


def pensia(**changes: Any) -> Pensia:
    return Pensia(**PLAIN_PATHS | DOUBLED | {"n": 5, "signs": "reserved"} | changes)


def problem(network: Architecture, seed: int, size: float = 0.3, zeros: float = 0.0) -> Problem:
    """A target with normal weights, a share of them exactly 0."""
    rng = np.random.default_rng(seed)
    target = {
        name: rng.normal(0, size, shape) * (rng.random(shape) >= zeros)
        for name, shape in parameter_shapes(network).items()
    }
    return Problem(network=network, target=target, data=None, streams=Streams(seed), device="cpu")


def images(network: Architecture, seed: int) -> torch.Tensor:
    """Of both signs."""
    shape = (
        (5, 2, 8, 8) if isinstance(network, SmallConvolution) else (5, 1, 1, parameter_shapes(network)["fc1.weight"][1])
    )
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape))
