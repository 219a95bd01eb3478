"""The training that tells which units matter: their scales, drawn to 0 by a penalty, period by period."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from lth_runner.core.recorder import Named, Recorder
from lth_runner.core.step import Step
from lth_runner.data.interface import Inputs
from lth_runner.prune.trainings import PURPOSE, Trainings
from lth_runner.training.fit import reproducible
from lth_runner.training.loop import Augment
from lth_runner.training.state import State, load_state, save_state
from lth_runner.training.train import classification, train

SCALES = "scales of all periods"  # where a checkpoint keeps them, among the buffers


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaled:
    """A network whose units have scales.

    Attributes:
        module: what is trained; on the device.
        scales: by group of units the name of the module's parameter (U,) that scales them.
        network: of the module's state, the network's own.
    """

    module: torch.nn.Module
    scales: Mapping[str, str]
    network: Callable[[State], State]


@dataclass(frozen=True, kw_only=True)
class Penalised:
    """The cross-entropy, and `strength` times the sum of the absolute scales."""

    scales: tuple[str, ...]
    strength: float

    def __call__(self, module: torch.nn.Module, inputs: Inputs, labels: torch.Tensor | None) -> torch.Tensor:
        loss = classification(module, inputs, labels)
        penalty = [module.get_parameter(name).abs().sum() for name in self.scales]
        return loss + self.strength * torch.stack(penalty).sum()


class UnitSearch:
    """A training with penalised scales, taken further a period at a time, and kept so that it can be taken up.

    Args:
        make: gives the network with scales at its start.
        every: the period.
        key: all that determines the training, as text.
    """

    def __init__(
        self,
        make: Callable[[], Scaled],
        trainings: Trainings,
        recorder: Recorder,
        *,
        strength: float,
        every: str,
        augment: Augment | None,
        key: str,
    ) -> None:
        self._scaled, self._trainings, self._recorder, self._augment = make(), trainings, recorder, augment
        self._loss = Penalised(scales=tuple(self._scaled.scales.values()), strength=strength)
        self._period = Step.parse("every", every).steps(trainings.steps_per_epoch)
        self._length = trainings.recipe.steps(trainings.steps_per_epoch)
        self._key, self._path = key, recorder.checkpoint(f"search-{hashlib.sha256(key.encode()).hexdigest()[:16]}")
        self._state, self._seen = self._load()
        self._again = partial(
            UnitSearch, make, trainings, recorder, strength=strength, every=every, augment=augment, key=f"{key} again"
        )

    @property
    def steps(self) -> list[int]:
        """After which every period ended so far."""
        return [min((i + 1) * self._period, self._length) for i in range(len(self._seen))]

    @property
    def ended(self) -> bool:
        """Whether the recipe's last step is done."""
        return bool(self._seen) and self.steps[-1] == self._length

    def scales(self, period: int) -> dict[str, np.ndarray]:
        """The scales of every group after a period, (U,) each."""
        sizes = [self._scaled.module.get_parameter(name).numel() for name in self._scaled.scales.values()]
        parts = np.split(self._seen[period], np.cumsum(sizes)[:-1])
        return dict(zip(self._scaled.scales, parts, strict=True))

    def grow(self) -> None:
        """Trains for one more period."""
        stop = min((len(self._seen) + 1) * self._period, self._length)
        with reproducible():
            state = train(
                self._scaled.module,
                self._trainings.split.train,
                self._trainings.recipe,
                self._trainings.streams,
                PURPOSE,
                Named(self._recorder, "search"),
                start=self._state,
                stop=Step(epochs=0, updates=stop),
                loss=self._loss,
                augment=self._augment,
            )
        self._state = state
        self._seen.append(
            torch.cat([state.parameters[name].flatten() for name in self._scaled.scales.values()]).numpy()
        )
        self._save(state)

    def state(self, period: int) -> State:
        """The network after a period, found again where the search has gone further."""
        assert period < len(self._seen), "it has been searched"
        if self._state is not None and self._state.step == self.steps[period]:
            return self._scaled.network(self._state)
        again = self._again()
        while len(again.steps) <= period:
            again.grow()
        return again.state(period)

    def _load(self) -> tuple[State | None, list[np.ndarray]]:
        found = load_state(self._path, self._key, self._recorder.say)
        if found is None:
            return None, []
        buffers = dict(found.buffers)
        seen = list(buffers.pop(SCALES).numpy())
        self._recorder.say(f"search: going on after step {found.step}, from a checkpoint")
        return replace(found, buffers=buffers), seen

    def _save(self, state: State) -> None:
        kept = torch.from_numpy(np.stack(self._seen))
        save_state(self._path, self._key, replace(state, buffers={**state.buffers, SCALES: kept}))
