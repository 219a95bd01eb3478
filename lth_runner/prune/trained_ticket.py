"""What methods share that train their ticket: the start, the images, how it is trained, and what is noted of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.step import Step
from lth_runner.data.interface import Dataset, labels
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import Architecture
from lth_runner.problem import NEEDS, Found, Problem
from lth_runner.prune.trainings import Trainings
from lth_runner.resources import SCORES, Resources
from lth_runner.training.loop import Augment
from lth_runner.training.recipe import Recipe
from lth_runner.training.split import check_validation


@dataclass(frozen=True, kw_only=True)
class TrainedTicket(ABC):
    """Finds masks and trains what they keep: the ticket stores its trained weights, and says how they started.

    Weights of two axes or more start at random and can be pruned; biases start at 0 and norms at weight 1 and bias 0,
    and both are trained and never pruned. The ticket is that of the last step, not of the best one.

    Attributes:
        density: kept / prunable weights, in [0, 1].
        training: how networks are trained.
        augment: what changes the images of every batch; None for nothing.
        validation: training images, picked at random, that are not trained on; 0 for none.
        evaluate_every: steps between two measurements on validation and test images, as a `Step` ("100it", "1ep").
        distribution: of the weights at the start.
    """

    needs_target: ClassVar[bool] = False
    resources: ClassVar[Resources] = SCORES
    density: float
    training: Recipe
    augment: Augment | None
    validation: int
    evaluate_every: str
    distribution: Distribution

    def __post_init__(self) -> None:
        checks.fraction("density", self.density)
        checks.integer("validation", self.validation, at_least=0)
        every = Step.parse("evaluate_every", self.evaluate_every)
        if every.epochs + every.updates == 0:
            raise ConfigError(f"evaluate_every={self.evaluate_every} is no step: set one of 1it or more")

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses data without labels, or without enough training images."""
        del network
        if data is None:
            raise ConfigError(f"this needs {NEEDS['data']}")
        labels(data.train_labels)
        check_validation(data, self.validation)

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket; see `Method.find`. Its facts tell the step of the least validation loss, and accuracies there."""
        return self.find_each(problem, recorder, [self.density])[0]

    def together(self, device: str) -> bool:
        """Never, unless a method says so: each ticket is a training of its own."""
        del device
        return False

    @abstractmethod
    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, from the same start."""

    def trainings(self, problem: Problem, recorder: Recorder) -> Trainings:
        """The trainings of this method on a problem.

        Raises:
            ConfigError: no network, or data that nothing can be trained on.
        """
        return Trainings(
            problem,
            recorder,
            recipe=self.training,
            augment=self.augment,
            validation=self.validation,
            evaluate_every=self.evaluate_every,
            law=self.distribution,
            key=self.key(),
        )

    def key(self) -> str:
        """All settings that its trainings depend on, as text; methods of one key share what they name alike."""
        return repr(self)


def summary(evaluations: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What a ticket's facts say of its training: the last measurement, and the one of the least validation loss.

    Returns:
        step, test_loss, ... without the accuracy on test images, which is measured of the ticket itself; where images
        were held out also early_stop_step, early_stop_accuracy (on test images) and validation_accuracy.
    """
    last = evaluations[-1]
    found = {"steps": last["step"], "test_loss": last["test_loss"]}
    if "validation_loss" not in last:
        return found
    best = min(evaluations, key=lambda line: line["validation_loss"])  # the first of equals
    return {
        **found,
        "validation_accuracy_last": last["validation_accuracy"],
        "early_stop_step": best["step"],
        "early_stop_accuracy": best["test_accuracy"],
        "early_stop_validation_loss": best["validation_loss"],
    }
