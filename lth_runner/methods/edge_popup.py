"""Edge-popup: every random weight gets a score, the scores are trained, and the weights that score highest stay."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.interfaces import Problem, Recorder
from lth_runner.core.mask import Mask
from lth_runner.core.resources import CORES, Resources
from lth_runner.core.ticket import RandomTensor, Ticket
from lth_runner.data.interface import Dataset
from lth_runner.distributions.interface import Distribution
from lth_runner.measure.accuracy import accuracy
from lth_runner.networks.interface import Network, filled
from lth_runner.networks.masked import SCOPES, masked
from lth_runner.training.checkpoint import Checkpoint, load, save
from lth_runner.training.fit import Recipe, one_thread, run_epochs
from lth_runner.training.initial import drawn, recipes
from lth_runner.training.scores import ScoreTraining

BATCH = 2048  # images per forward pass where accuracy is measured
PURPOSE = "edge_popup"  # of the streams
History = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class EdgePopup:
    """Trains one score per weight of a random network by SGD; the mask keeps the largest |scores|.

    The ticket is that of the last epoch. Every epoch ends with a checkpoint, from which a later attempt at the same run
    goes on to the very same masks.

    Reference: Ramanujan et al., arXiv:1911.13299. As in the code published with arXiv:2006.07990 but for the random
    numbers and the validation images, which are not trained on.

    Attributes:
        density: kept / total, in [0, 1].
        scope: "layer": of every weight tensor; "global": of all together.
        epochs, batch, learning_rate, momentum, weight_decay: see `training.fit.Recipe`.
        validation: training images, picked at random, that only measure accuracy after every epoch; 0 for none.
        distribution: of the random weights.
        scores: law of the first scores, fitted like that of the weights.
    """

    needs_target: ClassVar[bool] = False
    resources: ClassVar[Resources] = CORES
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

    def __post_init__(self) -> None:
        checks.fraction("density", self.density)
        checks.choice("scope", self.scope, SCOPES)
        checks.integer("validation", self.validation, at_least=0)
        self.recipe()

    def recipe(self) -> Recipe:
        """The settings of the training loop."""
        return Recipe(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

    def find(self, problem: Problem, recorder: Recorder) -> Ticket:
        """The ticket; see `Method.find`. Facts: accuracies on the validation images, and what the best epoch had."""
        network, data = self._checked(problem)
        seed = problem.streams.seed
        weights = recipes(network, self.distribution, network.shapes(), "weights")
        training = ScoreTraining(self._masked(network, weights, seed), self.momentum, self.weight_decay)
        with one_thread():
            history = self._train(training, network, data, problem, recorder)
        return Ticket(
            network=network,
            seed=seed,
            tensors=weights,
            masks={name: Mask.pack(mask.numpy()) for name, mask in training.masks().items()},
            facts={"density": self.density, **_facts(history)},
        )

    def _checked(self, problem: Problem) -> tuple[Network, Dataset]:
        network, data = problem.network, problem.data
        if network is None or data is None:
            raise ConfigError("edge_popup trains the scores of a network on images: add network=fc and data=mnist")
        if problem.device != "cpu":
            raise ConfigError("edge_popup cannot use a GPU yet, training.score_grid is not wired to it: add device=cpu")
        if any(len(shape) < 2 for shape in network.shapes().values()):
            raise ConfigError("edge_popup has no scores for biases: set network.biases=false")
        if self.validation >= len(data.train_images):
            raise ConfigError(
                f"validation={self.validation} leaves nothing of {len(data.train_images)} training images: set it lower"
            )
        return network, data

    def _masked(self, network: Network, weights: dict[str, RandomTensor], seed: int) -> torch.nn.Module:
        """The random network, as it is redrawn from a ticket, with its first scores."""
        module = filled(network, {name: tensor.draw(seed) for name, tensor in weights.items()})
        scores = recipes(network, self.scores, network.shapes(), "scores")
        return masked(module, drawn(scores, seed), self.density, self.scope)

    def _train(
        self, training: ScoreTraining, network: Network, data: Dataset, problem: Problem, recorder: Recorder
    ) -> History:
        """Trains the scores, from the last checkpoint if there is one; gives the metrics of every epoch."""
        key = f"{self!r} {network!r} data {data.fingerprint()} seed {problem.streams.seed}"
        path = recorder.checkpoint(f"{PURPOSE}-{hashlib.sha256(key.encode()).hexdigest()[:16]}")
        history = _resume(training, load(path, key, recorder.say), recorder)
        order = torch.from_numpy(problem.streams(PURPOSE, "validation").permutation(len(data.train_images)))
        held_out, trained = order[: self.validation], order[self.validation :]
        validation = (data.train_images[held_out], data.train_labels[held_out])

        def on_epoch(epoch: int, loss: float) -> str:
            line: dict[str, float] = {"density": self.density, "score_epoch": epoch, "score_loss": loss}
            line["test_accuracy"] = accuracy(training.network, data.test_images, data.test_labels, BATCH)
            if self.validation:
                line["validation_accuracy"] = accuracy(training.network, *validation, BATCH)
            history.append(line)
            recorder.metrics(**line)
            state = {"scores": training.scores.numpy(), "velocity": training.velocity.numpy()}
            save(path, key, Checkpoint(tensors=state, history=history))
            return f"test accuracy {line['test_accuracy']:.4f}"

        images = (data.train_images[trained], data.train_labels[trained])
        streams, finished = problem.streams, len(history)
        run_epochs(training.step, *images, self.recipe(), streams, PURPOSE, recorder, [on_epoch], finished)
        return history


def _resume(training: ScoreTraining, checkpoint: Checkpoint | None, recorder: Recorder) -> History:
    """Takes up a checkpoint and tells its metrics again, since this attempt's record starts empty."""
    if checkpoint is None:
        return []
    training.load(*(torch.from_numpy(checkpoint.tensors[name]) for name in ("scores", "velocity")))
    for line in checkpoint.history:
        recorder.metrics(**line)
    recorder.say(f"edge_popup: going on after epoch {len(checkpoint.history)}, from a checkpoint")
    return list(checkpoint.history)


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
