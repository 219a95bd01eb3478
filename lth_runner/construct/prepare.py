"""What a construction does before it starts: batch norms folded, tensors that it leaves as they are set apart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.networks.folding import BatchNormFolded, batch_norms
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Problem
from lth_runner.ticket.source import Stored


def prepared(problem: Problem) -> Problem:
    """The problem of the network whose batch norms are folded into the layers before them, if it has any.

    Raises:
        ConfigError: there is no network or no target.
    """
    target, network = problem.need("target", "network")
    if not batch_norms(network):
        return problem
    folded = BatchNormFolded(original=network)
    return replace(problem, network=folded, target=folded.folded(target))


def folded(network: Architecture) -> Architecture:
    """The network that a construction works on: without its batch norms, if it has any."""
    return BatchNormFolded(original=network) if batch_norms(network) else network


def without(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The names that no pattern ("head.*") matches.

    Raises:
        ConfigError: a pattern matches none of them.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"stored names {pattern}, which is no weight of the network: it has {', '.join(names)}")
    return [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)]


def stored(array: np.ndarray) -> Stored:
    """A tensor of the target as the ticket keeps it: in single precision where that changes nothing."""
    single = array.astype(np.float32) if array.dtype == np.float64 else array
    return Stored(array=single if np.array_equal(single, array) else array, origin="target")


def target_range(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> tuple[float, float]:
    """The least and the greatest of these weights."""
    return min(float(arrays[name].min()) for name in names), max(float(arrays[name].max()) for name in names)
