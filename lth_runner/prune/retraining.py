"""A ticket's training again, from its start and by its own recipe: whether the weights that it stores come out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

import numpy as np

from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.recorder import Recorder
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.problem import Problem
from lth_runner.prune.trainings import Trainings
from lth_runner.ticket.names import built
from lth_runner.ticket.plain import KIND
from lth_runner.ticket.source import Stored
from lth_runner.ticket.ticket import Ticket
from lth_runner.training.recipe import Recipe

ELSEWHERE = ("learning_rate", "fine_tune")  # ways to retrain that begin with weights which no ticket holds


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """What a training gave beside what a ticket stores.

    Attributes:
        numbers: of all tensors, pruned ones included.
        differing: those that are not equal to the bit.
        largest: absolute difference of any.
    """

    numbers: int
    differing: int
    largest: float


def retrained(ticket: Ticket, data: Dataset, recorder: Recorder, trust: Collection[str] = ()) -> Retrained:
    """Trains the ticket's masks from its start on the CPU, as its method's settings say, and compares.

    Equal bits are to be expected on the machine, with the libraries and on the device where the ticket was trained.

    Args:
        data: that it was trained on.
        trust: packages whose code the recipe may name.

    Raises:
        ConfigError: the ticket has no training that could be done again.
        DataError: its recipe is none.
    """
    settings = ticket.origin.method
    check(ticket, trust)
    problem = Problem(network=ticket.architecture, target=None, data=data, streams=Streams(ticket.seed), device="cpu")
    try:
        recipe = Recipe(**{key: value for key, value in settings["training"].items() if key != KIND})
        trainings = Trainings(
            problem,
            recorder,
            recipe=recipe,
            augment=None,
            validation=settings["validation"],
            evaluate_every=recipe.length,
            law=built(settings["distribution"], trust),
            key="again",
        )
        begun = _begun(ticket).steps(trainings.steps_per_epoch)
    except (ConfigError, KeyError, TypeError) as error:
        raise DataError(f"the ticket's training cannot be done again: {error}") from error
    start = changed(trainings.state(trainings.module(ticket.start)), step=begun)
    masks = {name: mask.dense() for name, mask in ticket.masks.items()}
    state = trainings.train("again", masks, start).state
    tensors = {**state.buffers, **state.parameters}
    return _compared({name: tensors[name].numpy() for name in ticket.weights}, ticket)


def check(ticket: Ticket, trust: Collection[str]) -> None:
    """Refuses tickets without a training that their file describes whole.

    Raises:
        ConfigError: it says what is missing.
        DataError: its recipe names code that is not trusted.
    """
    settings = ticket.origin.method
    method, recipe = settings.get(KIND, "its method"), settings.get("training")
    trained = all(isinstance(source, Stored) for source in ticket.weights.values())
    if not isinstance(recipe, Mapping) or not ticket.start or not trained or settings.get("retrain") is False:
        raise ConfigError("the ticket records no training, so there is nothing to train again: leave out --retrain")
    if settings.get("retrain") in ELSEWHERE:
        raise ConfigError(
            f"{method} with retrain={settings['retrain']} began with trained weights that no ticket holds, so that it "
            "cannot be trained again: leave out --retrain"
        )
    if settings.get("augment") is not None:
        raise ConfigError("the ticket was trained on augmented images, which is not done again: leave out --retrain")
    for key in ("optimizer", "schedule"):
        package, dot, _ = str(recipe.get(key)).partition(".")
        if dot and package not in trust:
            raise DataError(f"its {key} is code of {package}: if you trust that, add --trust {package}")


def _begun(ticket: Ticket) -> Step:
    """The step at which the training began: stored tensors of a start say it, as rewound@500it does."""
    origins = (source.origin for source in ticket.start.values() if isinstance(source, Stored))
    said = next((origin.partition("@")[2] for origin in origins if "@" in origin), "0it")
    return Step.parse("the step of its start", said)


def _compared(found: Mapping[str, np.ndarray], ticket: Ticket) -> Retrained:
    pairs: list[tuple[np.ndarray, Any]] = [
        (array, source.array) for name, array in found.items() if isinstance(source := ticket.weights[name], Stored)
    ]
    differing = sum(int((one != two).sum()) for one, two in pairs)
    largest = max(float(np.abs(one.astype(np.float64) - two).max(initial=0)) for one, two in pairs)
    return Retrained(numbers=sum(one.size for one, _ in pairs), differing=differing, largest=largest)
