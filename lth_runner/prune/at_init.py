"""Pruning before training: the weights of the start are scored, the best are kept, and what is kept is trained."""

import contextlib
import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import select
from lth_runner.problem import Found, Problem
from lth_runner.prune.selection import SCOPES, counts, density, masks, shuffled
from lth_runner.prune.trained_ticket import TrainedTicket, summary
from lth_runner.prune.trainings import Masks, Trainings
from lth_runner.ticket.source import Source
from lth_runner.training.evaluate import first_batch
from lth_runner.training.fit import reproducible
from lth_runner.training.split import Part

CONTROLS = ("none", "shuffled", "reinitialised", "inverted")
Scores = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The training images that scores are made of, in the order of their round.

    Attributes:
        part: all training images and their labels.
        order: (N,) int64, a permutation that is drawn from the seed.
    """

    part: Part
    order: torch.Tensor

    def first(self, count: int) -> Part:
        """The first `count` of them; all where there are fewer."""
        return first_batch(self.part, count, self.order)

    def of_each_class(self, count: int) -> Part:
        """The first `count` of every class, class by class; all of a class that has fewer."""
        inputs, labels = self.part
        order = self.order.to(labels.device)
        found = labels[order]
        chosen = torch.cat([order[found == label][:count] for label in labels.unique()])
        return select(inputs, chosen), labels[chosen]


@dataclass(frozen=True, kw_only=True)
class PruningAtInit(TrainedTicket):
    """Keeps the weights of the largest scores at the start, and trains them from that start.

    A method gives the scores; counts, rounds, controls and the training are here. The controls are the sanity checks of
    arXiv:2009.08576: where a score finds the right weights, and not only how many each layer needs, they cost accuracy.

    Attributes:
        scope: "global", all layers compete; "layer", each keeps the same share.
        control: what is trained: "none", the masks of the scores; "shuffled", as many weights of every layer, chosen
            uniformly; "reinitialised", the masks with a new start; "inverted", the least scores, in every round.
    """

    scope: str
    control: str

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("scope", self.scope, SCOPES)
        checks.choice("control", self.control, CONTROLS)

    @abstractmethod
    def schedule(self, density: float) -> list[float]:
        """The densities after every round; the last is the one asked for."""

    @abstractmethod
    def scores(self, module: torch.nn.Module, names: Sequence[str], samples: Samples) -> Scores:
        """What every weight is worth, the larger the better, of its shape.

        Args:
            module: a copy to be used at will: the start, what earlier rounds have pruned at 0, in training mode.
            names: of its parameters that are pruned.
            samples: of this round.
        """

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, all from one start; see `Method.find`."""
        trainings = self.trainings(problem, recorder)
        return [self._found(trainings, recorder, density) for density in densities]

    def masks(self, trainings: Trainings, recorder: Recorder, density: float) -> dict[str, np.ndarray]:
        """The masks of the scores, or of the inverted ones, before any other control.

        Raises:
            ConfigError: a score is no finite number.
        """
        start, found = trainings.module().train(), trainings.whole()
        sign = -1 if self.control == "inverted" else 1
        densities = self.schedule(density)
        with recorder.progress(f"scores for density {density:g}", len(densities)) as bar, reproducible():
            for number, at in enumerate(densities):
                with _dropout_of(trainings, number):
                    module = _pruned(start, found)
                    scores = self.scores(module, list(found), _samples(trainings, number))
                ranked = {name: sign * _finite(name, scores[name]) for name in found}
                found = masks(ranked, counts(trainings.prunable, at, self.scope), found)
                bar.advance(1)
        return found

    def _found(self, trainings: Trainings, recorder: Recorder, density: float) -> Found:
        found = self.masks(trainings, recorder, density)
        if self.control == "shuffled":
            found = {name: shuffled(mask, trainings.streams("shuffled", name)) for name, mask in found.items()}
        start = trainings.redrawn("0") if self.control == "reinitialised" else trainings.start
        return trained(trainings, recorder, f"density {density:g}", found, start)


@dataclass(frozen=True, kw_only=True)
class InRounds(PruningAtInit):
    """Scores that change with what is pruned, so that pruning bit by bit finds other masks.

    Attributes:
        rounds: n; after round e, from 0, a share density^((e + 1) / n) is kept: 1 is pruning in one go.
    """

    rounds: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("rounds", self.rounds, at_least=1)

    def schedule(self, density: float) -> list[float]:
        """As SynFlow's, arXiv:2006.05467: every round keeps the same share of what is left."""
        return [density ** ((number + 1) / self.rounds) for number in range(self.rounds)]


def trained(trainings: Trainings, recorder: Recorder, name: str, masks: Masks, start: Mapping[str, Source]) -> Found:
    """The ticket of masks that were chosen before any training.

    Args:
        name: of its training among all of the method.
        start: where its tensors come from.
    """
    kept = density(masks)
    done = trainings.train(name, masks, trainings.state(trainings.module(start)), density=kept)
    accuracy = done.evaluations[-1]["test_accuracy"]
    recorder.say(f"{100 * kept:.3g} % kept: test accuracy {100 * accuracy:.2f} %")
    return trainings.found(masks, done, start, {"density": kept, **summary(done.evaluations)})


@torch.no_grad()
def _pruned(module: torch.nn.Module, masks: Masks) -> torch.nn.Module:
    """A copy with what is pruned at 0."""
    copied = copy.deepcopy(module)
    parameters = dict(copied.named_parameters())
    for name, mask in masks.items():
        parameters[name].mul_(torch.from_numpy(mask).to(parameters[name].device))
    return copied


def _samples(trainings: Trainings, number: int) -> Samples:
    part = trainings.split.train
    order = trainings.streams("scores", "order", str(number)).permutation(len(part[1]))
    return Samples(part=part, order=torch.from_numpy(order))


@contextlib.contextmanager
def _dropout_of(trainings: Trainings, number: int) -> Iterator[None]:
    """What is random in a module's layers is the round's own, and torch's global state stays as it was."""
    device = torch.device(trainings.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(trainings.streams.torch_seed("scores", "dropout", str(number)))
        yield


def _finite(name: str, scores: torch.Tensor) -> np.ndarray:
    if not bool(scores.isfinite().all()):
        raise ConfigError(
            f"scores of {name} are infinite or no numbers, so nothing can be ranked: what the network gives at its "
            "start overflows; set another method.distribution"
        )
    return scores.detach().cpu().numpy()
