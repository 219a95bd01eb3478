"""Searches that train a score per weight of a random network: what they share, from the first draw to the ticket."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import images, labels, num_samples
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import parameter_shapes
from lth_runner.problem import Problem
from lth_runner.resources import CORES, Resources
from lth_runner.search.initial import drawn, recipes
from lth_runner.search.masked import SCOPES, masked
from lth_runner.search.run import Density, History, ScoreRun
from lth_runner.search.space import Ground
from lth_runner.search.trainer import ScoreTrainer
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import RandomTensor
from lth_runner.ticket.ticket import Ticket
from lth_runner.training.fit import Recipe, one_thread


@dataclass(frozen=True, kw_only=True)
class ScoreSearch(ABC):
    """Trains one score per random weight by SGD; a search says how scores make a mask, and how they move.

    The ticket is that of the last epoch. Every epoch ends with a checkpoint, from which a later attempt at the same run
    goes on to the very same masks.

    Attributes:
        density: kept / total, in [0, 1].
        scope: where that many are chosen, "layer": in every weight tensor; "global": in all together.
        epochs, batch, learning_rate, momentum, weight_decay: see `training.fit.Recipe`.
        validation: training images, picked at random, that only measure accuracy after every epoch; 0 for none.
        distribution: of the random weights.
        scores: law of the first scores, fitted like that of the weights.
        frozen: layers whose weights and biases are the target's, trained, and stay whole ("conv1").
    """

    needs_target: ClassVar[bool] = False
    resources: ClassVar[Resources] = CORES
    on_gpu: ClassVar[bool] = False  # whether `trainer` can train there
    density: float
    scope: str
    epochs: int
    batch: int
    learning_rate: float
    momentum: float
    weight_decay: float
    validation: int
    distribution: Distribution
    scores: Distribution
    frozen: list[str]

    def __post_init__(self) -> None:
        checks.fraction("density", self.density)
        checks.choice("scope", self.scope, SCOPES)
        checks.integer("validation", self.validation, at_least=0)
        self.recipe()

    @abstractmethod
    def trainer(self, networks: Sequence[torch.nn.Module], device: str) -> ScoreTrainer:
        """What trains the scores of masked networks; of one alone on a CPU."""

    def tensors(self, ground: Ground, masks: Mapping[str, Mask], seed: int) -> dict[str, RandomTensor]:
        """Recipes of the ticket's random weights: those drawn, but for searches that use them otherwise."""
        del masks, seed
        return ground.weights

    def facts(self, masks: Mapping[str, Mask]) -> dict[str, float]:
        """Plain numbers worth keeping with the ticket beyond accuracies, for searches that have some."""
        del masks
        return {}

    def recipe(self) -> Recipe:
        """The settings of the training loop."""
        return Recipe.of(self)

    def find(self, problem: Problem, recorder: Recorder) -> Ticket:
        """The ticket; see `Method.find`. Facts: accuracies on the validation images, and what the best epoch had."""
        return self.find_each(problem, recorder, [self.density])[0]

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Ticket]:
        """One ticket per density, of the same random network: trained in turn, on a GPU all together."""
        return self.search(self.ground(problem), densities, problem, recorder)

    def ground(self, problem: Problem) -> Ground:
        """The random network of the problem's architecture.

        Raises:
            ConfigError: no network, weights that cannot have scores, or frozen layers without a target to take them of.
        """
        network = problem.network
        if network is None:
            raise ConfigError("a search prunes a random network and there is none: add network=fc")
        shapes, target = parameter_shapes(network), problem.target or {}
        given = [name for name in shapes if name.rpartition(".")[0] in self.frozen]
        for layer in self.frozen:
            if not any(name.rpartition(".")[0] == layer for name in given):
                raise ConfigError(f"frozen names {layer}, which is no layer of the network: it has {', '.join(shapes)}")
        for name in given:
            if name not in target or target[name].shape != shapes[name]:
                raise ConfigError(f"{name} is to be frozen and no target has it in this shape: add target=trained")
        random = [name for name in shapes if name not in given]
        if any(len(shapes[name]) < 2 for name in random):
            raise ConfigError("there are no scores for biases: set network.biases=false")
        return Ground(
            network=network,
            weights=recipes(network, self.distribution, random, "weights"),
            frozen={name: target[name].astype(np.float32) for name in given},
        )

    def search(
        self, ground: Ground, densities: Sequence[Density], problem: Problem, recorder: Recorder
    ) -> list[Ticket]:
        """One ticket per density of the given random network; `problem` gives data, streams and the device."""
        if problem.data is None:
            raise ConfigError("a search trains scores on images and there are none: add data=mnist")
        labels(problem.data.train_labels)
        count = num_samples(images(problem.data.train_inputs))
        if self.validation >= count:
            raise ConfigError(f"validation={self.validation} leaves nothing of {count} training images: set it lower")
        seed = problem.streams.seed
        convolves = any(len(tensor.shape) > 2 for name, tensor in ground.weights.items() if name not in ground.settled)
        device = problem.device if self.on_gpu and not convolves else "cpu"
        tickets = []
        for runs in turns(len(densities), device):
            asked = [densities[run] for run in runs]
            networks = [self._masked(ground, density, seed) for density in asked]
            training = ScoreRun(
                self.trainer,
                networks,
                asked,
                self.recipe(),
                self.validation,
                problem,
                device,
                key=f"{self!r} {ground.key()}",
            )
            with one_thread():
                histories = training.train(type(self).__module__.rpartition(".")[2], recorder)
            for run, (density, history) in enumerate(zip(asked, histories, strict=True)):
                found = {name: Mask.pack(mask.cpu().numpy()) for name, mask in training.trainer.masks(run).items()}
                masks = {name: found[name] if name in found else ground.settled[name] for name in ground.weights}
                facts = {"density": density} if isinstance(density, float | int) else {}
                tickets.append(
                    Ticket(
                        network=ground.network,
                        seed=seed,
                        tensors=self.tensors(ground, masks, seed),
                        masks=masks,
                        frozen=ground.frozen,
                        facts={**facts, **_facts(history), **self.facts(masks)},
                    )
                )
        return tickets

    def _masked(self, ground: Ground, density: Density, seed: int) -> torch.nn.Module:
        """The random network with its first scores."""
        scored = [name for name in ground.weights if name not in ground.settled]
        scores = recipes(ground.network, self.scores, scored, "scores")
        return masked(ground.module(seed), drawn(scores, seed), density, self.scope)


def turns(count: int, device: str) -> list[range]:
    """Which networks are trained together: on a GPU all of them, since one alone would leave it idle."""
    return [range(count)] if device != "cpu" else [range(run, run + 1) for run in range(count)]


def _facts(history: History) -> dict[str, float]:
    """Validation accuracy of the last and of the best epoch, which one that was, and its test accuracy."""
    if "validation_accuracy" not in history[-1]:
        return {}
    best = max(history, key=lambda line: line["validation_accuracy"])  # the first of equals
    return {
        "validation_accuracy_last": history[-1]["validation_accuracy"],
        "validation_accuracy_best": best["validation_accuracy"],
        "best_epoch": best["score_epoch"],
        "best_epoch_accuracy": best["test_accuracy"],
    }
