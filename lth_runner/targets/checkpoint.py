"""Somebody else's trained network as the target: a state dict whose tensors find their places in the network."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture, first_names, tensors_of
from lth_runner.targets.match import MisfitError, Shapes, by_name, by_shape, listed
from lth_runner.targets.state_dict import read_state_dict

MEAN = ".running_mean"  # of batch norms
COUNTER = "num_batches_tracked"  # of batch norms: files of old have none, and no output depends on it

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class CheckpointTarget:
    """The tensors of a .pt state dict or a .safetensors file.

    Attributes:
        path: of the file.
        names: the network's names for those of the file, where they differ: {theirs: ours}, or the path of a YAML file
            of that. Names that it leaves out are matched as they would be without it.
    """

    path: str | None
    names: dict[str, str] | str | None

    def __post_init__(self) -> None:
        checks.file("target.path", self.path)
        if self.names is not None and not isinstance(self.names, str):
            _check_names(self.names, "target.names")

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses a file that cannot be read, or does not fit the network."""
        del data
        self._matched(network, lambda line: None)

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """The file's tensors under the network's names; where names differ, the log says which went where."""
        return self._matched(network, recorder.say)

    def _matched(self, network: Architecture, say: Callable[[str], None]) -> dict[str, np.ndarray]:
        assert self.path is not None, "checked when built"
        names = _read_names(self.names) if isinstance(self.names, str) else self.names or {}
        return matched(network, read_state_dict(self.path), names, self.path, say)

    def file(self, network: Architecture, data: Dataset | None, device: str) -> Path | None:
        """The file; see `KeptInFile`. Names that were given are not known to who reads it alone."""
        return None if self.path is None or self.names else Path(self.path)


def matched(
    network: Architecture, tensors: Arrays, names: Mapping[str, str], path: str, say: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """The file's tensors under the names of the network's state, in its order.

    By name first. Where names differ, by shape, if no two tensors of one shape could be exchanged. What is left over
    must be zero: a target that silently lost its biases would be another network.

    Args:
        names: of the file and of the network, {theirs: ours}, as far as they are known.

    Raises:
        ConfigError: a tensor is complex, names or shapes don't fit, it is unclear which tensor is which, or something
            would be lost.
    """
    with torch.device("meta"):
        module = network.module()
    needed = tensors_of(module)
    _check_real([name for name, tensor in needed.items() if tensor.is_complex()], "the network")
    _check_real([name for name, array in tensors.items() if array.dtype.kind == "c"], path)
    shapes = {name: tuple(tensor.shape) for name, tensor in needed.items()}
    tensors = _untied(module, tensors, path)
    if not any(name.endswith(COUNTER) for name in tensors):
        tensors = tensors | {name: np.zeros((), np.int64) for name in needed if name.endswith(COUNTER)}
    given = _given(names, shapes, tensors)
    sources = given | _sources(
        {name: shape for name, shape in shapes.items() if name not in given},
        {name: array for name, array in tensors.items() if name not in given.values()},
        path,
    )
    moved = [f"{sources[name]} -> {name}" for name in needed if sources[name] != name]
    if moved:
        say(f"target: of {path}, {', '.join(moved)}")
    return {
        name: tensors[sources[name]].astype(np.float64 if needed[name].is_floating_point() else _dtype(needed[name]))
        for name in needed
    }


def _check_real(names: list[str], where: str) -> None:
    """Refuses complex tensors: tickets would lose their imaginary parts."""
    if names:
        raise ConfigError(f"{names[0]} of {where} is complex, and only real numbers are approximated or pruned")


def _sources(needed: Shapes, tensors: Arrays, path: str) -> dict[str, str]:
    """For each needed name that of the file's tensor."""
    offered = {name: array.shape for name, array in tensors.items()}
    _check_norms(needed, offered, path)
    found = by_name(needed, offered)
    if found is None:
        _check_shapes(needed, offered, path)
        found = by_shape(needed, offered, path)
    lost = {name: shape for name, shape in offered.items() if name not in found.values() and tensors[name].any()}
    if lost:
        raise _cannot_hold(lost, path)
    return found


def _cannot_hold(lost: Shapes, path: str) -> MisfitError:
    """The refusal of a file with tensors that the network has no place for."""
    if all(len(shape) == 1 for shape in lost.values()):
        return MisfitError(
            f"{path} holds biases that this network does not have ({listed(lost)})", "add network.biases=true"
        )
    return MisfitError(
        f"{path} holds tensors that this network does not have ({listed(lost)})", "choose a network that has them"
    )


def _check_norms(needed: Shapes, offered: Shapes, path: str) -> None:
    """Refuses a file with batch norms for a network without them, whose scale and shift are no biases of layers."""
    norms = [name.removesuffix(MEAN) for name in offered if name.endswith(MEAN)]
    if norms and not any(name.endswith(MEAN) for name in needed):
        raise MisfitError(
            f"{path} holds batch norms ({', '.join(norms)}) and this network has none",
            "fold them into the layers before them (torch.nn.utils.fusion), or choose a network with batch norms "
            "(network=vgg16, resnet20 or imported)",
        )


def _check_shapes(needed: Shapes, offered: Shapes, path: str) -> None:
    """Refuses a file whose shapes cannot be those of the network: all its layers' weights must be used, no more."""
    layers, others = _split(needed)
    their_layers, their_others = _split(offered)
    if Counter(layers.values()) != Counter(their_layers.values()):
        raise MisfitError(
            f"{path} does not fit the network: it has {listed(their_layers)}, the network needs {listed(layers)}",
            "change network or its sizes (network.hidden, network.depth)",
        )
    if Counter(others.values()) - Counter(their_others.values()):
        raise MisfitError(
            f"{path} has {listed(their_others)} for the network's {listed(others)}",
            "if it has no biases, add network.biases=false",
        )


def _split(shapes: Shapes) -> tuple[Shapes, Shapes]:
    """Weights of layers, with two axes or more, and the others."""
    layers = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    return layers, {name: shape for name, shape in shapes.items() if name not in layers}


def _untied(module: torch.nn.Module, tensors: Arrays, path: str) -> dict[str, np.ndarray]:
    """The file's tensors, those that the network ties under their first name only.

    Raises:
        ConfigError: they differ.
    """
    found = dict(tensors)
    for name, first in first_names(module).items():
        if name == first or name not in found:
            continue
        other = found.pop(name)
        if not np.array_equal(found.setdefault(first, other), other):
            raise ConfigError(f"{path} has other values for {name} than for {first}, and the network ties them")
    return found


def _given(names: Mapping[str, str], needed: Shapes, tensors: Arrays) -> dict[str, str]:
    """The pairs that the user gives, ours to theirs."""
    for theirs, ours in names.items():
        for name, known, whose in ((theirs, list(tensors), "of the file"), (ours, list(needed), "of the network")):
            if name not in known:
                raise ConfigError(f"target.names has {name}, which is no tensor {whose}{checks.nearest(name, known)}")
        if tensors[theirs].shape != needed[ours]:
            raise ConfigError(
                f"target.names has {theirs} {'x'.join(map(str, tensors[theirs].shape))} for {ours} "
                f"{'x'.join(map(str, needed[ours]))}: their shapes must be equal"
            )
    return {ours: theirs for theirs, ours in names.items()}


def _read_names(path: str) -> dict[str, str]:
    file = Path(path).expanduser()
    try:
        return _check_names(yaml.safe_load(file.read_text(encoding="utf-8")), str(file))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{file} cannot be read as target.names ({' '.join(str(error).split())})") from error


def _check_names(names: Any, where: str) -> dict[str, str]:
    plain = isinstance(names, dict) and all(isinstance(name, str) for pair in names.items() for name in pair)
    if not plain or len(set(names.values())) != len(names):
        raise ConfigError(
            f"{where} must pair names of the file with names of the network, {{theirs: ours}}, each once, got {names!r}"
        )
    return names


def _dtype(tensor: torch.Tensor) -> Any:
    return torch.empty((), dtype=tensor.dtype).numpy().dtype
