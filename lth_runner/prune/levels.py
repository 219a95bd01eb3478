"""Rounds of training and pruning, level by level; a finished level is kept and never trained again."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lth_runner.core.checkpoint import Checkpoint, load, save
from lth_runner.core.recorder import Recorder
from lth_runner.prune.selection import density
from lth_runner.prune.trainings import Trained
from lth_runner.training.state import State

Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """A pruned network, trained.

    Attributes:
        number: rounds of pruning before it; 0 is the dense network.
        masks: bool by name, True = kept.
        trained: at the end of its training.
    """

    number: int
    masks: dict[str, np.ndarray]
    trained: Trained

    @property
    def density(self) -> float:
        """Kept / prunable weights."""
        return density(self.masks)


class Levels:
    """The levels of one chain, kept in files of their own until the run has ended well: controls share them.

    A file holds the level's masks and metrics; its weights too for the last two levels and for those that are
    `needed`, so disk use is that of a few networks. Another choice of levels is another chain.

    Args:
        key: all that determines the chain, as text.
        masks_after: the next masks, from a level.
        trained: trains these masks as the level of this number, from the level before it (None for the dense network).
        forget: told of a level that was trained and is kept.
        needed: numbers of levels whose weights are needed to the end.
    """

    def __init__(
        self,
        recorder: Recorder,
        key: str,
        whole: Masks,
        masks_after: Callable[[Level], dict[str, np.ndarray]],
        trained: Callable[[int, Masks, Level | None], Trained],
        forget: Callable[[int], None],
        needed: Collection[int],
    ) -> None:
        self._recorder, self._whole = recorder, whole
        self._key = f"{key}-keeps-{'-'.join(map(str, sorted(needed)))}"  # the weights that its files have
        self._masks_after, self._trained, self._forget, self._needed = masks_after, trained, forget, needed

    def upto(self, last: int) -> Iterator[Level]:
        """The levels 0 to `last`, in order; those that an earlier attempt finished are read.

        A level has its weights when it is yielded for the first time, and until the next but one is trained.
        """
        two_before: Level | None = None
        before: Level | None = None
        for number in range(last + 1):
            level = self._load(number)
            if level is None:
                masks = dict(self._whole) if before is None else self._masks_after(before)
                level = Level(number=number, masks=masks, trained=self._trained(number, masks, before))
                self._save(level, weights=True)
                self._forget(number)
                if two_before is not None and two_before.number not in self._needed:
                    self._save(two_before, weights=False)
            yield level
            two_before, before = before, level

    def _path(self, number: int) -> Path:
        return self._recorder.checkpoint(f"level{number}-{self._key}", shared=True)

    def _save(self, level: Level, *, weights: bool) -> None:
        tensors: dict[str, np.ndarray] = {f"mask/{name}": np.packbits(mask) for name, mask in level.masks.items()}
        if weights:
            state = level.trained.state
            tensors["step"] = np.array(state.step)
            tensors |= {f"parameter/{name}": tensor.numpy() for name, tensor in state.parameters.items()}
            tensors |= {f"buffer/{name}": tensor.numpy() for name, tensor in state.buffers.items()}
        save(self._path(level.number), self._key, Checkpoint(tensors=tensors, history=level.trained.evaluations))

    def _load(self, number: int) -> Level | None:
        found = load(self._path(number), self._key, self._recorder.say)
        if found is None:
            return None
        masks = {
            name: np.unpackbits(found.tensors[f"mask/{name}"], count=whole.size).view(bool).reshape(whole.shape)
            for name, whole in self._whole.items()
        }
        return Level(
            number=number, masks=masks, trained=Trained(state=_state(found.tensors), evaluations=found.history)
        )


def _state(tensors: Mapping[str, np.ndarray]) -> State:
    """The weights of a file; none where it keeps masks alone."""
    parts: dict[str, dict[str, Any]] = {"parameter": {}, "buffer": {}}
    for place, array in tensors.items():
        part, _, name = place.partition("/")
        if part in parts:
            parts[part][name] = torch.from_numpy(array)
    step = int(tensors["step"]) if "step" in tensors else 0
    return State(step=step, parameters=parts["parameter"], buffers=parts["buffer"], optimizer={}, history=[])
