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
from lth_runner.data.interface import Dataset, labels, moved, select
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import Architecture, state_shapes
from lth_runner.problem import NEEDS, Found, Problem
from lth_runner.resources import SCORES, Resources
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.initial import drawn, recipes
from lth_runner.search.rule import Change
from lth_runner.search.run import History, ScoreRun, trainable
from lth_runner.search.scored import SCOPES, Density, ScoredNetwork
from lth_runner.search.space import BIASES, SearchSpace, check_types, random_space, taken_names
from lth_runner.search.together import why_apart
from lth_runner.search.trainer import ScoreTrainer
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Source, Stored
from lth_runner.ticket.ticket import Ticket
from lth_runner.training.fit import Recipe, reproducible
from lth_runner.training.split import check_validation

SEARCHED = "search"  # origin of statistics that batch norms gathered


@dataclass(frozen=True, kw_only=True)
class ScoreSearch(ABC):
    """Trains one score per random weight by SGD; a search is a rule: how scores make a mask, and how they move.

    The module itself stays unchanged, whatever it is: what the rule makes of its weights is passed to it. Parameters of
    two axes or more are random and get scores, embeddings included; norms stay at weight 1 and bias 0. Batch norms
    normalise by the batch while scores are trained, and the statistics that they gather stand in the ticket; dropout is
    off. The ticket is that of the last epoch. Every epoch ends with a checkpoint, from which a later attempt at the
    same run goes on to the very same masks.

    Attributes:
        density: kept / total, in [0, 1].
        scope: where that many are chosen, "layer": in every weight tensor; "global": in all together.
        epochs, batch, learning_rate, momentum, weight_decay: see `training.fit.Recipe`.
        validation: training images, picked at random, that only measure accuracy after every epoch; 0 for none.
        distribution: of the random weights.
        scores: law of the first scores, fitted like that of the weights.
        frozen: layers or blocks whose tensors are the target's, trained, and stay whole ("conv1").
        biases: "zero": they stay 0; "scored": random and pruned like weights; "target": the target's, whole.
    """

    needs_target: ClassVar[bool] = False
    resources: ClassVar[Resources] = SCORES
    score_range: ClassVar[tuple[float, float] | None] = None
    compiled_use: ClassVar[str | None] = None  # what the compiled CPU kernels use of a kept weight: "weight" or "sign"
    subset: ClassVar[bool] = True  # whether the rule alone makes a mask of 0 and 1 over numbers that are given
    scores_each: ClassVar[bool] = False  # whether each of several numbers that a weight can be has a score of its own
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
    biases: str

    def __post_init__(self) -> None:
        checks.fraction("density", self.density)
        checks.choice("scope", self.scope, SCOPES)
        checks.choice("biases", self.biases, BIASES)
        checks.integer("validation", self.validation, at_least=0)
        checks.listed("method.frozen", self.frozen)
        self.recipe()

    @abstractmethod
    def mask(self, scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """See `Rule`."""

    @abstractmethod
    def effective(self, weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """See `Rule`."""

    @abstractmethod
    def score_gradient(self, gradient: torch.Tensor, weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """See `Rule`."""

    def decay(self) -> float:
        """See `Rule`."""
        return self.weight_decay

    def end_epoch(self, epoch: int, scores: torch.Tensor, active: torch.Tensor, density: float) -> torch.Tensor:
        """See `Rule`; nothing is pruned for good unless a search says so."""
        del epoch, scores, density
        return active

    def change(self, networks: Sequence[ScoredNetwork], device: str) -> Change | None:
        """See `Rule`; nothing changes between steps unless a search says so."""
        del networks, device

    def numbers(self) -> int | None:
        """How many random numbers each weight can be; None: its own one, as in most searches."""
        return None

    def first_scores(self, scores: torch.Tensor, density: float) -> torch.Tensor:
        """The first scores of a weight, from those drawn."""
        del density
        return scores

    def ticket_mask(self, mask: np.ndarray) -> np.ndarray:
        """The bool array of a ticket, from the rule's mask of a weight."""
        return mask

    def sources(self, space: SearchSpace, masks: Mapping[str, Mask], seed: int) -> dict[str, Source]:
        """Where the ticket's tensors come from: those of the space, but for searches that use them otherwise."""
        del masks, seed
        return dict(space.weights)

    def facts(self, masks: Mapping[str, Mask]) -> dict[str, float]:
        """Plain numbers worth keeping with the ticket beyond accuracies, for searches that have some."""
        del masks
        return {}

    def recipe(self) -> Recipe:
        """The settings of the training loop."""
        return Recipe.of(self)

    def trainer(self, networks: Sequence[ScoredNetwork], device: str) -> ScoreTrainer:
        """What trains the scores of these networks: compiled kernels for one on a CPU, where they know the rule."""
        if self.compiled_use is not None and device == "cpu" and len(networks) == 1:
            binary = self.compiled_use == "sign"
            return ScoreTraining(networks[0], self.momentum, self.weight_decay, binary=binary)
        return FunctionalTraining(networks, self, device)

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses data without enough training images, layers that are not there, and numbers that are not float32."""
        check_types(network)
        taken_names(network, self.frozen, self.biases)
        if data is None:
            raise ConfigError(f"this needs {NEEDS['data']}")
        labels(data.train_labels)
        check_validation(data, self.validation)

    def taken(self, network: Architecture) -> Mapping[str, tuple[int, ...]]:
        """Those of frozen layers, and perhaps biases; see `Takes`."""
        shapes = state_shapes(network)
        return {name: shapes[name] for name in sorted(taken_names(network, self.frozen, self.biases))}

    def find(self, problem: Problem, recorder: Recorder) -> Found:
        """The ticket; see `Method.find`. Facts: accuracies on the validation images, and what the best epoch had."""
        return self.find_each(problem, recorder, [self.density])[0]

    def together(self, device: str) -> bool:
        """On a GPU, which one alone would leave idle."""
        return device != "cpu"

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, of the same random network: trained in turn, on a GPU all together."""
        return self.search(self.space(problem), densities, problem, recorder)

    def space(self, problem: Problem) -> SearchSpace:
        """The random network of the problem's architecture.

        Raises:
            ConfigError: no network, or layers to be taken from a target that has none.
        """
        (network,) = problem.need("network")
        return random_space(
            network,
            self.distribution,
            problem.target,
            frozen=self.frozen,
            biases=self.biases,
            seed=problem.streams.seed,
            numbers=self.numbers(),
        )

    def search(
        self, space: SearchSpace, densities: Sequence[Density], problem: Problem, recorder: Recorder
    ) -> list[Found]:
        """One ticket per density of the given random network; `problem` gives data, streams and the device."""
        (data,) = problem.need("data")
        trainable(data)
        check_validation(data, self.validation)
        seed, name = problem.streams.seed, type(self).__module__.rpartition(".")[2]
        module = space.module(seed)
        found = []
        for runs in self._turns(module, space, len(densities), problem, recorder):
            networks = [self._scored(module, space, densities[run], seed) for run in runs]
            key = f"{self!r} {space.key()}"
            training = ScoreRun(self.trainer, networks, self.recipe(), self.validation, problem, key)
            with reproducible():
                histories = training.train(name, recorder)
            found += [
                self._found(space, training.trainer, run, densities[at], history, seed)
                for run, (at, history) in enumerate(zip(runs, histories, strict=True))
            ]
        return found

    def _scored(self, module: torch.nn.Module, space: SearchSpace, density: Density, seed: int) -> ScoredNetwork:
        each = self.numbers() if self.scores_each else None
        scores = drawn(recipes(space.architecture, self.scores, space.scored, "scores", each), seed)
        by_name = density if isinstance(density, Mapping) else dict.fromkeys(scores, density)
        return ScoredNetwork(
            module=module,
            scores={name: self.first_scores(own, by_name.get(name, self.density)) for name, own in scores.items()},
            density=density,
            scope=self.scope,
            numbers=space.numbers(seed),
            seed=seed,
        )

    def _turns(
        self, module: torch.nn.Module, space: SearchSpace, count: int, problem: Problem, recorder: Recorder
    ) -> list[range]:
        """Which networks are trained together: on a GPU all of them, since one alone would leave it idle."""
        (data,) = problem.need("data")
        if problem.device == "cpu" or count == 1:
            return turns(count, together=False)
        reason = why_apart(module, space.scored, moved(select(trainable(data), slice(2)), "cpu"))
        if reason is not None:
            recorder.say(
                f"the densities are trained one after the other, since the network does not allow vmap: {reason}"
            )
        return turns(count, together=reason is None)

    def _found(
        self, space: SearchSpace, trainer: ScoreTrainer, run: int, density: Density, history: History, seed: int
    ) -> Found:
        masks = dict(space.given)
        found = {name: mask.cpu().numpy() for name, mask in trainer.masks(run).items()}
        masks |= {name: Mask.pack(self.ticket_mask(mask)) for name, mask in found.items()}
        weights = self.sources(space, masks, seed)
        for name, buffer in trainer.statistics(run).items():
            weights[name] = Stored(array=buffer.cpu().numpy(), origin=SEARCHED)
        facts = {"density": float(density)} if isinstance(density, float | int) else {}
        facts |= {**_facts(history), **self.facts(masks)}
        return Found(
            ticket=Ticket(architecture=space.architecture, seed=seed, weights=weights, masks=masks, facts=facts)
        )


def turns(count: int, *, together: bool) -> list[range]:
    """Which of so many networks are trained at once."""
    return [range(count)] if together else [range(run, run + 1) for run in range(count)]


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
