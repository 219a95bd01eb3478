"""What methods share that prune whole units by the scales of a short training: when to draw, and how to train on."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.step import Step
from lth_runner.data.interface import Dataset
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.problem import Found, Problem
from lth_runner.prune import selection
from lth_runner.prune.mask_distance import emergence
from lth_runner.prune.trained_ticket import TrainedTicket, summary
from lth_runner.prune.trainings import Trainings
from lth_runner.prune.unit_search import Scaled, UnitSearch
from lth_runner.prune.units import Units, masks

RETRAIN = ("continue", "rewound", "reinitialised")
DRAWS = ("early", "last")
Kept = dict[str, np.ndarray]  # bool (U,) by group


@dataclass(frozen=True, kw_only=True)
class UnitTicket(TrainedTicket):
    """Trains with a penalty on the scales of units, draws a ticket when their ranking settles, and trains that.

    Attributes:
        strength: of the penalty: this times the sum of the absolute scales is added to the loss.
        every: the period after which the units that would be kept are looked at, as a `Step`.
        window: masks that must agree.
        distance: largest normalised Hamming distance of the latest mask to each of the others.
        draw: "early", when they agree (or at the end, if they never do); "last", after the whole recipe; or a `Step`,
            "200it", rounded up to a period.
        retrain: "continue", from the weights at the draw to the recipe's end; "rewound", the whole recipe from the
            start of the search; "reinitialised", the whole recipe from a new start.
    """

    strength: float
    every: str
    window: int
    distance: float
    draw: str
    retrain: str

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.not_negative("strength", self.strength)
        every = Step.parse("every", self.every)
        if every.epochs + every.updates == 0:
            raise ConfigError(f"every={self.every} is no step: set one of 1it or more")
        checks.integer("window", self.window, at_least=2)
        checks.fraction("distance", self.distance)
        if self.draw not in DRAWS:
            Step.parse("draw (early, last or a step)", self.draw)
        checks.choice("retrain", self.retrain, RETRAIN)
        if self.draw == "last" and self.retrain == "continue":
            raise ConfigError("with draw=last no step is left to continue with: set retrain=rewound or reinitialised")

    @abstractmethod
    def units(self, network: Architecture) -> dict[str, Units]:
        """The groups of units.

        Raises:
            ConfigError: the network has none.
        """

    @abstractmethod
    def counts(self, groups: Mapping[str, Units], density: float) -> dict[tuple[str, ...], int]:
        """How many units are kept of the groups that compete with each other; see `selection.masks`."""

    @abstractmethod
    def scaled(self, groups: Mapping[str, Units], trainings: Trainings) -> Scaled:
        """The network whose units have scales, at its start."""

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses networks without such units, and data without labels or with too few images."""
        super().check(network, data)
        self.units(network)

    def together(self, device: str) -> bool:
        """Always: the search is the same for all."""
        del device
        return True

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, all of one search; see `Method.find`."""
        draw = self.drawing(problem, recorder)
        return [draw.found(density) for density in densities]

    def drawing(self, problem: Problem, recorder: Recorder) -> "Drawing":
        """The search of a problem, and what can be drawn from it."""
        (network,) = problem.need("network")
        return Drawing(self, self.units(network), self.trainings(problem, recorder), problem, recorder)


class Drawing:
    """One search, and the tickets that are drawn from it; methods that differ in what they do then share it."""

    def __init__(
        self, method: UnitTicket, groups: dict[str, Units], trainings: Trainings, problem: Problem, recorder: Recorder
    ) -> None:
        self.method, self.groups, self.trainings, self.recorder = method, groups, trainings, recorder
        (data,) = problem.need("data")
        alike = replace(method, density=1.0, window=2, distance=0.0, draw="last", retrain="rewound")
        self.search = UnitSearch(
            lambda: method.scaled(groups, trainings),
            trainings,
            recorder,
            strength=method.strength,
            every=method.every,
            augment=method.augment,
            key=f"{alike!r} {problem.network!r} {data.fingerprint()} seed {trainings.seed} {problem.device}",
        )

    def kept(self, density: float, period: int) -> Kept:
        """The units that are kept after a period: those of the largest absolute scales."""
        scores = {name: np.abs(scale) for name, scale in self.search.scales(period).items()}
        return selection.masks(scores, self.method.counts(self.groups, density))

    def masks(self, density: float) -> np.ndarray:
        """The same after every period so far, all groups in a row: (T, U) bool."""
        kept = [self.kept(density, period) for period in range(len(self.search.steps))]
        return np.array([np.concatenate(list(one.values())) for one in kept])

    def emerged(self, density: float) -> int | None:
        """The period after which the masks agree, of those so far."""
        return emergence(self.masks(density), self.method.window, self.method.distance) if self.search.steps else None

    def drawn(self, density: float) -> int:
        """The period after which the ticket is drawn; searches up to it."""
        while not self._is_over(density):
            self.search.grow()
        emerged, steps = self.emerged(density), self.search.steps
        if self.method.draw == "early" and emerged is not None:
            return emerged
        if self.method.draw in DRAWS:
            if self.method.draw == "early":
                self.recorder.say(f"no {self.method.window} masks in a row agree: the ticket is drawn at the end")
            return len(steps) - 1
        return next((i for i, step in enumerate(steps) if step >= self._asked()), len(steps) - 1)

    def found(self, density: float) -> Found:
        """The ticket of a density, trained."""
        method, trainings, at = self.method, self.trainings, self.drawn(density)
        kept, step = self.kept(density, at), self.search.steps[at]
        pruned, emerged = self.pruned(kept), self.emerged(density)
        state, start = trainings.state(trainings.module()), dict(trainings.start)
        if method.retrain == "continue":
            state = replace(self.search.state(at), optimizer={}, history=[])
            start = trainings.stored(state, f"drawn@{step}it")
        elif method.retrain == "reinitialised":
            start = trainings.redrawn("ticket")
            state = trainings.state(trainings.module(start))
        trained = trainings.train(f"ticket of density {density:g}", pruned, state, density=density)
        units = sum(mask.size for mask in kept.values())
        facts = {
            "units": units,
            "units_kept": sum(int(mask.sum()) for mask in kept.values()),
            "drawn_step": step,
            "masks_agree": int(emerged is not None and emerged <= at),  # an earlier attempt may have searched further
            "searched_epochs": step / trainings.steps_per_epoch,
            **summary(trained.evaluations),
        }
        self.recorder.say(f"drawn at step {step}: {facts['units_kept']} of {units} units kept")
        return trainings.found(pruned, trained, start, facts)

    def pruned(self, kept: Kept) -> dict[str, np.ndarray]:
        """The masks of all tensors that can be pruned."""
        shapes = parameter_shapes(self.trainings.network)
        whole = {name: np.ones((1,) * len(shape), dtype=bool) for name, shape in self.trainings.prunable.items()}
        return {**whole, **masks(self.groups, kept, shapes)}

    def _is_over(self, density: float) -> bool:
        """Whether the search has gone as far as the draw needs."""
        search, draw = self.search, self.method.draw
        if search.ended or draw == "last":
            return search.ended
        if draw == "early":
            return self.emerged(density) is not None
        return bool(search.steps) and search.steps[-1] >= self._asked()

    def _asked(self) -> int:
        return Step.parse("draw", self.method.draw).steps(self.trainings.steps_per_epoch)
