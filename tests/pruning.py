"""A small problem for tests of methods that train their ticket."""

from dataclasses import replace
from typing import Any

import numpy as np
from searching import DATA

from lth_runner.config.compose import method_of
from lth_runner.core.streams import Streams
from lth_runner.networks.mlp import Mlp
from lth_runner.problem import Problem
from lth_runner.ticket.ticket import Ticket

NETWORK = Mlp(inputs=36, hidden=[20, 12], outputs=10, biases=True)
SGD = {"length": "2ep", "batch": 50, "learning_rate": 0.05, "optimizer": "SGD", "momentum": 0.9, "weight_decay": 0.01}


def problem(seed: int = 0, **changes: Any) -> Problem:
    posed = Problem(network=NETWORK, target=None, data=DATA, streams=Streams(seed), device="cpu")
    return replace(posed, **changes)


def method(name: str, **settings: Any) -> Any:
    """The method with the defaults of its file, two short epochs of SGD and a few images for validation."""
    training = SGD | settings.pop("training", {})
    return method_of(name, {"validation": 30, "evaluate_every": "5it", "training": training, **settings})


def dense_masks(ticket: Ticket) -> dict[str, np.ndarray]:
    return {name: mask.dense() for name, mask in ticket.masks.items()}
