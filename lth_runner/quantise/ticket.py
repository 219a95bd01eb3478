"""The ticket of a quantised network: codes in the place of the target's weights, all else stored as it is."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lth_runner.construct.compensation import Compensation
from lth_runner.construct.prepare import folded, prepared, stored, without
from lth_runner.construct.second_moments import calibrated, replace_layers
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.networks.interface import Architecture, parameter_shapes, state_shapes
from lth_runner.networks.layers import WeightLayer, approximable, weight_layers
from lth_runner.networks.quantised import SUFFIX, Code, Quantised
from lth_runner.problem import Found, Problem
from lth_runner.ticket.source import CODE, Source, Stored
from lth_runner.ticket.ticket import Ticket


@dataclass(frozen=True)
class Encoded:
    """A tensor in code.

    Attributes:
        code: how it is read.
        parts: as the code names them.
    """

    code: Code
    parts: Mapping[str, np.ndarray]

    def decoded(self, shape: tuple[int, ...]) -> np.ndarray:
        """The tensor that really stands there, float64."""
        return self.code.decoded(self.parts, shape)


Encode = Callable[[str, np.ndarray], Encoded]  # name of a weight, and the weight
DataAware = Callable[[np.ndarray, np.ndarray], Encoded]  # a weight, and the second moments of `Replace`


def quantised_names(network: Architecture, patterns: Sequence[str]) -> list[str]:
    """The names of the weights that are put into code: those of two axes or more that may be approximated.

    Args:
        patterns: of those that are stored instead.

    Raises:
        ConfigError: there are none, or a pattern matches none.
    """
    shapes = parameter_shapes(network)
    names = [name for name in without(approximable(network), patterns) if len(shapes[name]) > 1]
    if not names:
        raise ConfigError("the network has no weights of two axes or more that could be quantised")
    return names


def check_quantised(network: Architecture, patterns: Sequence[str]) -> None:
    """Refuses a network without a weight to quantise; see `Checked.check`."""
    quantised_names(folded(network), patterns)


def quantise(problem: Problem, recorder: Recorder, patterns: Sequence[str], label: str, encode: Encode) -> Found:
    """The ticket of the target with each weight put into code by itself.

    Args:
        patterns: of weights that are stored as they are.
        label: shown beside the progress bar.

    Raises:
        ConfigError: no network, no target, or no weight to quantise.
    """
    problem = prepared(problem)
    network, target = problem.need("network", "target")
    names = quantised_names(network, patterns)
    started, encoded = time.perf_counter(), dict[str, Encoded]()
    with recorder.progress(label, sum(target[name].size for name in names)) as bar:
        for name in names:
            encoded[name] = encode(name, target[name])
            bar.advance(target[name].size)
    return found(problem, encoded, time.perf_counter() - started)


def quantise_with_inputs(
    problem: Problem,
    recorder: Recorder,
    patterns: Sequence[str],
    label: str,
    settings: Compensation,
    data_aware: DataAware,
    plain: Encode,
) -> Found:
    """The ticket of the target with the weights of its layers in code, given what their inputs are.

    Args:
        patterns: of weights that are stored as they are.
        label: shown beside the progress bar.
        plain: for weights that no calibration input reaches, or that belong to no layer.
    """
    problem = prepared(problem)
    network, target = problem.need("network", "target")
    names = quantised_names(network, patterns)
    layers = [layer for layer in weight_layers(network) if layer.weight in names]
    started, encoded = time.perf_counter(), dict[str, Encoded]()
    with recorder.progress(label, sum(target[name].size for name in names)) as bar:

        def replace(layer: WeightLayer, moments: np.ndarray) -> np.ndarray:
            weight = target[layer.weight]
            encoded[layer.weight] = data_aware(weight, moments)
            bar.advance(weight.size)
            return encoded[layer.weight].decoded(weight.shape)

        replace_layers(problem, layers, settings, replace, calibrated(problem))
        if rest := [name for name in names if name not in encoded]:
            recorder.say(f"chosen without data, since no layer with calibration inputs has them: {', '.join(rest)}")
        for name in rest:
            encoded[name] = plain(name, target[name])
            bar.advance(target[name].size)
    return found(problem, encoded, time.perf_counter() - started)


def found(problem: Problem, encoded: Mapping[str, Encoded], seconds: float) -> Found:
    """The ticket of a prepared problem whose weights of these names are in code."""
    network, target = problem.need("network", "target")
    network = Quantised(target=network, codes={name: each.code for name, each in encoded.items()})
    parts = {f"{name}{SUFFIX}.{part}": array for name, each in encoded.items() for part, array in each.parts.items()}
    weights: dict[str, Source] = {
        name: Stored(array=parts[name], origin=CODE) if name in parts else stored(target[name])
        for name in state_shapes(network)
    }
    ticket = Ticket(architecture=network, seed=problem.streams.seed, weights=weights, masks={})
    return Found(ticket=ticket, times={"solve_time_s": seconds})
