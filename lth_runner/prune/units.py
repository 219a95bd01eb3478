"""Parts of a network that are kept or pruned whole: hidden neurons, channels, heads of an attention."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the units of a group stand in a tensor.

    Attributes:
        tensor: name of a parameter.
        axis: along which they stand, in their order; None where every entry of the tensor is one of them.
        each: entries that a unit has in a row along that axis.
        times: how often the whole row of units stands there.
    """

    tensor: str
    axis: int | None
    each: int = 1
    times: int = 1

    def along(self, units: np.ndarray) -> np.ndarray:
        """A value per unit, (U,), as a value per entry of the axis, (times * U * each,)."""
        return np.tile(np.repeat(units, self.each), self.times)

    def over(self, units: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The same as an array that broadcasts to the tensor's shape."""
        if self.axis is None:
            return units.reshape(shape)
        broadcast = [1] * len(shape)
        broadcast[self.axis] = -1
        return self.along(units).reshape(broadcast)


@dataclass(frozen=True, kw_only=True)
class Units:
    """A group of units of one kind.

    Attributes:
        count: how many there are.
        places: where they stand; without the entries of a unit there, nothing of the unit reaches what comes after it.
        removable: whether the network stays one when those entries are cut out of all tensors.
    """

    count: int
    places: tuple[Place, ...]
    removable: bool = True


def masks(groups: Mapping[str, Units], kept: Mapping[str, np.ndarray], shapes: Shapes) -> dict[str, np.ndarray]:
    """The masks of the tensors in which the groups stand: True where all units that an entry belongs to are kept.

    Args:
        kept: bool (U,) for each group.
        shapes: of the tensors.

    Returns:
        Bool arrays that broadcast to the tensors' shapes: (out, 1), or (out, in, 1, 1) where two groups meet.
    """
    found: dict[str, np.ndarray] = {}
    for name, group in groups.items():
        for place in group.places:
            part = place.over(kept[name], shapes[place.tensor])
            found[place.tensor] = found[place.tensor] & part if place.tensor in found else part
    return found
