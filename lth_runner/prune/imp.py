"""Iterative magnitude pruning: train, prune the least weights, rewind the rest, again (Frankle and Carbin 2019)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.step import Step
from lth_runner.problem import Found, Problem
from lth_runner.prune.criteria import CRITERIA
from lth_runner.prune.levels import Level, Levels
from lth_runner.prune.selection import SCOPES, density, masks, shuffled
from lth_runner.prune.trained_ticket import TrainedTicket, summary
from lth_runner.prune.trainings import Trained
from lth_runner.ticket.source import Source
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import State

RETRAIN = ("weights", "learning_rate", "fine_tune")
CONTROLS = ("none", "reinitialised", "random_mask")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class IterativeMagnitudePruning(TrainedTicket):
    """Rounds of training to the end, pruning a rate of what is left, and rewinding what is kept.

    After t rounds a layer of m weights keeps round(m (1 - rate)^t). A density between two levels is pruned straight
    from the level above it.

    Reference: arXiv:1803.03635, strategy 1; rewinding arXiv:1912.05671, algorithm 2; learning-rate rewinding and
    fine-tuning arXiv:2003.02389; criteria arXiv:1905.01067. Differs from the papers: counts are rounded once, not once
    a round; the optimizer begins every level without a memory.

    Attributes:
        rate: share of the remaining weights that a round prunes, in (0, 1).
        rates: by layer, where another: {fc3: 0.1}; with 0 the layer stays whole.
        one_shot: every density is pruned in one round, from the dense network.
        scope: "layer", each by its own rate; "global", all layers together.
        criterion: what makes a weight worth keeping; see `criteria`.
        rewind: the step to which a level goes back, as a `Step`: "0it" (the start), "500it", "2ep".
        retrain: what goes back: "weights" (and the learning rates with them); "learning_rate", while the weights stay
            trained; "fine_tune", nothing: as many steps at the last learning rate.
        control: what the ticket is trained with: "none", its own; "reinitialised", its masks and a new start;
            "random_mask", as many weights of every layer, chosen uniformly, and the same start.
    """

    rate: float
    rates: dict[str, float]
    one_shot: bool
    scope: str
    criterion: str
    rewind: str
    retrain: str
    control: str

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, rate in (("rate", self.rate), *self.rates.items()):
            checks.fraction(name, rate)
        if not 0 < self.rate < 1:
            raise ConfigError(f"method.rate must lie between 0 and 1, got {self.rate}")
        checks.boolean("one_shot", self.one_shot)
        checks.choice("scope", self.scope, SCOPES)
        checks.choice("criterion", self.criterion, CRITERIA)
        checks.choice("retrain", self.retrain, RETRAIN)
        checks.choice("control", self.control, CONTROLS)
        if self.scope == "global" and any(rate > 0 for rate in self.rates.values()):
            raise ConfigError("with scope=global a layer has the rate of all or 0 (whole): set scope=layer")
        Step.parse("rewind", self.rewind)

    def key(self) -> str:
        """That of the method without a control: what controls are compared with is the same chain, trained once."""
        return repr(replace(self, control="none"))

    def together(self, device: str) -> bool:
        """Always: the levels on the way to one density are those on the way to the next."""
        del device
        return True

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density of one chain of levels; see `Method.find`."""
        chain = Chain(self, problem, recorder, densities)
        return [chain.found(density) for density in densities]


class Chain:
    """The levels of a method on a problem, and the tickets that come of them.

    Args:
        densities: of the tickets that will be asked for.
    """

    def __init__(
        self, method: IterativeMagnitudePruning, problem: Problem, recorder: Recorder, densities: Sequence[float]
    ) -> None:
        self.method, self.recorder = method, recorder
        self.trainings = method.trainings(problem, recorder)
        self.rates = layer_rates(method, self.trainings.prunable)
        self.rounds = {density: rounds(self.trainings.prunable, self.rates, density) for density in densities}
        self._rewound: State | None = None
        self.levels = Levels(
            recorder,
            self.trainings.key,
            self.trainings.whole(),
            lambda level: self.pruned(level, level.number + 1),
            self._train,
            lambda number: self.trainings.forget(f"level {number}"),
            {self._parent(at) for at in self.rounds.values()},
        )

    def found(self, density: float) -> Found:
        """The ticket of a density, trained."""
        at = self.rounds[density]
        level = self._level(self._parent(at))
        if level.number != at:
            masks = self.pruned(level, at)
            name = f"level {level.number} to density {density:g}"
            level = Level(number=level.number + 1, masks=masks, trained=self._retrained(name, masks, level))
        return self.controlled(level, self.method.control)

    def controlled(self, level: Level, control: str, which: str = "0", recorder: Recorder | None = None) -> Found:
        """The ticket of a level, or of one of its controls.

        Args:
            which: names the chance of a control: another for every name.
            recorder: of the training of a control, where it is not the chain's.
        """
        masks, source, state = self._begun(level, control, which)
        if control == "none":
            return self._ticket(masks, level.trained, source, level.number)
        name = f"{control} {which}, level {level.number}, density {density(masks):g}"
        trained = self.trainings.train(name, masks, state, recorder=recorder, level=level.number)
        return self._ticket(masks, trained, source, level.number)

    def begun(self, level: Level, control: str, which: str = "0") -> tuple[dict[str, np.ndarray], State]:
        """With which masks, and in which state, the training of a level or of one of its controls begins."""
        masks, _, state = self._begun(level, control, which)
        return masks, state

    def _begun(self, level: Level, control: str, which: str) -> tuple[dict[str, np.ndarray], dict[str, Source], State]:
        trainings, masks, source = self.trainings, level.masks, dict(self.trainings.start)
        if control == "none":
            state = replace(self.start, optimizer={}, history=[])
            return masks, source if not state.step else trainings.stored(state, f"rewound@{self.method.rewind}"), state
        if control == "reinitialised":
            source = trainings.redrawn(which)
        else:
            masks = {name: self._shuffled(name, mask, level.number, which) for name, mask in masks.items()}
        return masks, source, trainings.state(trainings.module(source))

    def pruned(self, level: Level, at: float) -> dict[str, np.ndarray]:
        """The masks after `at` rounds, from the weights at the end of an earlier level."""
        criterion, first, last = CRITERIA[self.method.criterion], self.start, level.trained.state
        scores = {
            name: criterion(
                first.parameters[name].numpy(),
                last.parameters[name].numpy(),
                self.trainings.streams("criterion", name, str(level.number)),
            )
            for name in self.trainings.prunable
        }
        return masks(scores, self._counts(at), level.masks)

    def _counts(self, at: float) -> dict[tuple[str, ...], int]:
        sizes = {name: math.prod(shape) for name, shape in self.trainings.prunable.items()}
        kept = {name: size * (1 - self.rates[name]) ** at for name, size in sizes.items()}
        if self.method.scope == "layer":
            return {(name,): round(count) for name, count in kept.items()}
        competing = tuple(name for name in sizes if self.rates[name] > 0)
        whole = {(name,): size for name, size in sizes.items() if name not in competing}
        return {**whole, competing: round(sum(kept[name] for name in competing))}

    def _parent(self, at: float) -> int:
        """The level from which the network after `at` rounds is pruned, or that level itself."""
        return (0 if at < 1 or self.method.one_shot else math.floor(at)) if at else 0

    def _level(self, number: int) -> Level:
        *_, level = self.levels.upto(number)
        return level

    def _train(self, number: int, masks: Mapping[str, np.ndarray], before: Level | None) -> Trained:
        if before is None:
            return self.trainings.train("level 0", masks, self.start, level=0, density=1.0)
        return self._retrained(f"level {number}", masks, before)

    def _retrained(self, name: str, masks: Mapping[str, np.ndarray], before: Level) -> Trained:
        start, recipe = self.start, self.trainings.recipe
        state = replace(start, optimizer={}, history=[])
        if self.method.retrain != "weights":
            last = before.trained.state
            state = replace(state, parameters=last.parameters, buffers=last.buffers)
        if self.method.retrain == "fine_tune":
            recipe = at_last_rate(recipe, self.trainings.steps_per_epoch)
        kept = density(masks)
        return self.trainings.train(name, masks, state, recipe=recipe, level=before.number + 1, density=kept)

    @property
    def start(self) -> State:
        """The state that a level goes back to."""
        if self._rewound is None:
            stop = Step.parse("rewind", self.method.rewind)
            trainings = self.trainings
            if stop.steps(trainings.steps_per_epoch) == 0:
                self._rewound = trainings.state(trainings.module())
            else:
                whole = trainings.whole()
                self._rewound = trainings.train("rewind", whole, stop=stop, level=0, density=1.0).state
        return self._rewound

    def _shuffled(self, name: str, mask: np.ndarray, number: int, which: str) -> np.ndarray:
        return shuffled(mask, self.trainings.streams("random_mask", name, str(number), which))

    def _ticket(
        self, masks: Mapping[str, np.ndarray], trained: Trained, start: Mapping[str, Source], level: int
    ) -> Found:
        facts = {"density": density(masks), "level": level, **summary(trained.evaluations)}
        found = self.trainings.found(masks, trained, start, facts)
        last = trained.evaluations[-1]["test_accuracy"]
        self.recorder.say(f"level {level}, {100 * facts['density']:.3g} % kept: test accuracy {100 * last:.2f} %")
        return found


def layer_rates(method: IterativeMagnitudePruning, shapes: Shapes) -> dict[str, float]:
    """The rate of every prunable weight.

    Raises:
        ConfigError: a rate is of no layer that has one.
    """
    layers = {name: name.rpartition(".")[0] for name in shapes}
    for layer in method.rates:
        checks.choice("method.rates", layer, layers.values())
    return {name: method.rates.get(layer, method.rate) for name, layer in layers.items()}


def rounds(shapes: Shapes, rates: Mapping[str, float], share: float) -> float:
    """How many rounds, not always a whole number, leave this share of all weights.

    A whole number that leaves it up to 1 % of it is taken: densities are written with few digits.

    Raises:
        ConfigError: layers that stay whole hold more than that.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}

    def kept(at: float) -> float:
        return sum(size * (1 - rates[name]) ** at for name, size in sizes.items()) / sum(sizes.values())

    low, high = 0.0, 1.0
    while kept(high) > share:
        low, high = high, 2 * high
        if high > 2**20:
            raise ConfigError(
                f"density={share:g} cannot be reached by pruning a rate of what is left: layers of rate 0 hold "
                f"{100 * kept(high):.3g} %"
            )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) > share else (low, middle)
    near = round(high)
    return near if abs(kept(near) - share) <= 0.01 * share else high


def at_last_rate(recipe: Recipe, steps_per_epoch: int) -> Recipe:
    """The same recipe, all at the learning rate that it ends with."""
    rate = recipe.rates(steps_per_epoch)(recipe.steps(steps_per_epoch) - 1)
    return replace(recipe, learning_rate=rate, schedule="constant", schedule_arguments=None)
