"""Somebody else's trained network as the target: a state dict whose layers are matched to the network by shape."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lth_runner.core.errors import ConfigError
from lth_runner.core.interfaces import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Network
from lth_runner.targets.interface import extra_names
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
        self, network: Network, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """The file's tensors under the network's names."""
        assert self.path is not None, "checked when built"
        return matched(network, read_state_dict(self.path), self.path)


def matched(network: Network, tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """The checkpoint's tensors under the network's names: each layer takes the first tensor of its shape not yet taken.

    Weights are the tensors of 2 or 4 axes, and all of them must find a layer. What is left must be the network's
    biases, or zero: a target that silently lost its biases would be another network.

    Raises:
        ConfigError: the shapes don't fit, or something would be lost.
    """
    offered = {name: tensor for name, tensor in tensors.items() if tensor.ndim in (2, 4)}
    weights = _match(network.shapes(), offered)
    if weights is None or len(weights) != len(offered):
        raise ConfigError(
            f"{path} does not fit the network: it has {_listed({n: t.shape for n, t in offered.items()})}, the network "
            f"needs {_listed(network.shapes())}; change network or its sizes (network.hidden, network.depth)"
        )
    state = network.module().state_dict()
    wanted = {name: tuple(state[name].shape) for name in extra_names(network)}
    others = {name: tensor for name, tensor in tensors.items() if name not in offered}
    extras = _match(wanted, others)
    if extras is None:
        raise ConfigError(
            f"{path} has no tensors for {_listed(wanted)}, only {_listed({n: t.shape for n, t in others.items()})}: "
            "add network.biases=false if it has no biases"
        )
    taken = set(extras.values())
    lost = {name: tensor.shape for name, tensor in others.items() if name not in taken and tensor.any()}
    if lost:
        raise ConfigError(
            f"{path} holds biases that this network does not have ({_listed(lost)}): add network.biases=true"
        )
    return {name: tensors[source] for name, source in (weights | extras).items()}


def _match(wanted: Shapes, offered: Mapping[str, np.ndarray]) -> dict[str, str] | None:
    """For each wanted name the first offered name of that shape not yet taken; None where one finds none."""
    left = dict(offered)
    found: dict[str, str] = {}
    for name, shape in wanted.items():
        source = next((other for other, tensor in left.items() if tensor.shape == shape), None)
        if source is None:
            return None
        found[name] = source
        del left[source]
    return found


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items()) or "nothing"
