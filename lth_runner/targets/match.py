"""Which tensor of somebody's file is which of the network: by name, else by shape where that leaves no choice."""

from collections.abc import Mapping

from lth_runner.core.errors import ConfigError

Shapes = Mapping[str, tuple[int, ...]]
PREFIXES = ("module.", "model.")  # that wrappers of training scripts put before every name


class MisfitError(ConfigError):
    """A file's tensors are not those of the network.

    Attributes:
        fact: what does not fit, without what to do: for commands that have no settings of a run.
    """

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}: {remedy}")
        self.fact = fact


def by_name(needed: Shapes, offered: Shapes) -> dict[str, str] | None:
    """For each needed name the equal one offered, perhaps after a prefix that all have; None where one is missing."""
    inner = {name: name for name in offered}
    while True:
        if all(offered.get(inner.get(name, "")) == shape for name, shape in needed.items()):
            return {name: inner[name] for name in needed}
        prefix = next((prefix for prefix in PREFIXES if inner and all(name.startswith(prefix) for name in inner)), None)
        if prefix is None:
            return None
        inner = {name.removeprefix(prefix): source for name, source in inner.items()}


def by_shape(needed: Shapes, offered: Shapes, path: str) -> dict[str, str]:
    """For each needed name the only offered one that it can be, all of `needed` being there by shape.

    A shape that one tensor on each side has decides; the other tensors of such a layer go where it goes, by the last
    part of their names.

    Raises:
        ConfigError: two tensors of one shape could be exchanged.
    """
    found: dict[str, str] = {}
    for shape in set(needed.values()):
        ours, theirs = _of_shape(needed, shape), _of_shape(offered, shape)
        if len(ours) == len(theirs) == 1:
            found[ours[0]] = theirs[0]
    layers = _layers(found)
    for name, shape in needed.items():
        layer, last = _layer(name), name.rpartition(".")[2]
        if name not in found and layer in layers:
            source = f"{layers[layer]}.{last}" if layers[layer] else last
            if offered.get(source) == shape and source not in found.values():
                found[name] = source
    left = {name: shape for name, shape in needed.items() if name not in found}
    for shape in set(left.values()):  # what those before have left over may leave no choice either
        ours, theirs = _of_shape(left, shape), [t for t in _of_shape(offered, shape) if t not in found.values()]
        if len(ours) == len(theirs) == 1:
            found[ours[0]] = theirs[0]
    unclear = {name: shape for name, shape in needed.items() if name not in found}
    if unclear:
        taken, shapes = set(found.values()), set(unclear.values())
        rivals = {name: shape for name, shape in offered.items() if name not in taken and shape in shapes}
        first, second = next(iter(rivals)), next(iter(unclear))
        raise MisfitError(
            f"{path} names its tensors otherwise than the network, and of equal shapes it cannot be told which is "
            f"which: it has {listed(rivals)}, the network {listed(unclear)}",
            f"say it with 'target.names={{{first}: {second}, ...}}' (theirs: ours), or with a YAML file of such lines",
        )
    return {name: found[name] for name in needed}


def listed(shapes: Shapes) -> str:
    """Names and shapes for a message."""
    return ", ".join(f"{name} {'x'.join(map(str, shape))}".strip() for name, shape in shapes.items()) or "nothing"


def _of_shape(shapes: Shapes, shape: tuple[int, ...]) -> list[str]:
    return [name for name, other in shapes.items() if other == shape]


def _layers(found: Mapping[str, str]) -> dict[str, str]:
    """For each of our layers theirs, where all of its tensors that were found are in one."""
    theirs: dict[str, set[str]] = {}
    for name, source in found.items():
        theirs.setdefault(_layer(name), set()).add(_layer(source))
    return {layer: others.pop() for layer, others in theirs.items() if len(others) == 1}


def _layer(name: str) -> str:
    return name.rpartition(".")[0]
