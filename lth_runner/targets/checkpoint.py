"""Somebody else's trained network as the target: a state dict whose layers are matched to the network by shape."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.targets.state_dict import read_state_dict

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class CheckpointTarget:
    """The weights of a .pt state dict or a .safetensors file.

    Attributes:
        path: of the file.
    """

    path: str | None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise ConfigError(f"target.path must name a file: add target.path=FILE (got {self.path!r})")

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """The file's tensors under the network's names."""
        assert self.path is not None, "checked when built"
        return matched(network, read_state_dict(self.path), self.path)


def matched(network: Architecture, tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """The checkpoint's tensors under the network's names: each layer takes the first tensor of its shape not yet taken.

    Weights are the tensors of 2 or 4 axes, and all of them must find a layer. What is left must be the network's
    biases, or zero: a target that silently lost its biases would be another network.

    Raises:
        ConfigError: the shapes don't fit, or something would be lost.
    """
    layers, biases = _split(parameter_shapes(network), lambda shape: len(shape) > 1)
    offered, others = _split(
        {name: tensor.shape for name, tensor in tensors.items()}, lambda shape: len(shape) in (2, 4)
    )
    found = _match(layers, offered)
    if found is None or len(found) != len(offered):
        raise ConfigError(
            f"{path} does not fit the network: it has {_listed(offered)}, the network needs {_listed(layers)}; "
            "change network or its sizes (network.hidden, network.depth)"
        )
    found_biases = _match(biases, others)
    if found_biases is None:
        raise ConfigError(
            f"{path} has {_listed(others)} for the network's {_listed(biases)}: if it has no biases, add "
            "network.biases=false"
        )
    lost = {name: shape for name, shape in others.items() if name not in found_biases.values() and tensors[name].any()}
    if lost:
        raise ConfigError(
            f"{path} holds biases that this network does not have ({_listed(lost)}): add network.biases=true"
        )
    sources = found | found_biases
    return {name: tensors[sources[name]] for name in parameter_shapes(network)}


def _split(shapes: Shapes, claim: Callable[[tuple[int, ...]], bool]) -> tuple[Shapes, Shapes]:
    """Those whose shape fits the claim, and the others."""
    fits = {name: shape for name, shape in shapes.items() if claim(shape)}
    return fits, {name: shape for name, shape in shapes.items() if name not in fits}


def _match(wanted: Shapes, offered: Shapes) -> dict[str, str] | None:
    """For each wanted name the first offered name of that shape not yet taken; None where one finds none."""
    left = dict(offered)
    found: dict[str, str] = {}
    for name, shape in wanted.items():
        source = next((other for other in left if left[other] == shape), None)
        if source is None:
            return None
        found[name] = source
        del left[source]
    return found


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items()) or "nothing"
