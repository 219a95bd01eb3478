"""Searches that train a score per weight of a random network: what they share, from the first draw to the ticket."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.interfaces import Problem, Recorder
from lth_runner.core.mask import Mask
from lth_runner.core.resources import CORES, Resources
from lth_runner.core.ticket import RandomTensor, Ticket
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import Network, filled
from lth_runner.networks.masked import SCOPES, masked, masked_weights
from lth_runner.training.checkpoint import Checkpoint, load, save
from lth_runner.training.fit import Recipe, one_thread, run_epochs
from lth_runner.training.initial import drawn, recipes
from lth_runner.training.interface import ScoreTrainer

BATCH = 2048  # images per forward pass where accuracy is measured
PURPOSE = "score_search"  # of the streams: all searches see the same batches
Density = float | Mapping[str, float]  # kept / total, of all weights alike or by name
History = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The random network that is searched, and what is settled about it beforehand.

    Attributes:
        network: the architecture.
        weights: recipes of its random weights.
        settled: masks that are given, by names in `weights`: these weights get no scores.
        frozen: weights that are neither random nor pruned, by name.
        gains: by names in `weights`: what a weight is multiplied with while the scores are trained, so that signals
            keep their size in a network drawn from any law. The ticket is of the weights as drawn: without biases its
            network is that of the search up to one positive factor, so their decisions are equal.
    """

    network: Network
    weights: dict[str, RandomTensor]
    settled: dict[str, Mask] = field(default_factory=dict)
    frozen: dict[str, np.ndarray] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)

    def module(self, seed: int) -> torch.nn.Module:
        """The random network as it is redrawn from a ticket, settled masks applied, times the gains."""
        arrays = dict(self.frozen)
        for name, tensor in self.weights.items():
            array = tensor.draw(seed) * self.gains.get(name, 1.0)
            arrays[name] = array * self.settled[name].dense() if name in self.settled else array
        return filled(self.network, arrays)

    def key(self) -> str:
        """All of it as text."""
        parts = {
            "settled": {name: hashlib.sha256(mask.bits.tobytes()).hexdigest() for name, mask in self.settled.items()},
            "frozen": {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in self.frozen.items()},
            "gains": self.gains,
        }
        return f"{self.network!r} {self.weights!r} {json.dumps(parts, sort_keys=True)}"


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
        return Recipe(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

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
        shapes, target = network.shapes(), problem.target or {}
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
        if self.validation >= len(problem.data.train_images):
            count = len(problem.data.train_images)
            raise ConfigError(f"validation={self.validation} leaves nothing of {count} training images: set it lower")
        seed = problem.streams.seed
        convolves = any(len(tensor.shape) > 2 for name, tensor in ground.weights.items() if name not in ground.settled)
        device = problem.device if self.on_gpu and not convolves else "cpu"
        tickets = []
        for runs in turns(len(densities), device):
            asked = [densities[run] for run in runs]
            networks = [self._masked(ground, density, seed) for density in asked]
            training = _Training(self, ground, asked, networks, problem, device)
            with one_thread():
                histories = training.run(recorder)
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


class _Training:
    """One training of some networks together: its data, its checkpoint and its loop."""

    def __init__(
        self,
        method: ScoreSearch,
        ground: Ground,
        densities: Sequence[Density],
        networks: Sequence[torch.nn.Module],
        problem: Problem,
        device: str,
    ) -> None:
        assert problem.data is not None, "checked by the caller"
        self.method, self.densities, self.streams = method, densities, problem.streams
        data = problem.data.to(device)
        order = torch.from_numpy(self.streams(PURPOSE, "validation").permutation(len(data.train_images)))
        held_out, trained = order[: method.validation].to(device), order[method.validation :].to(device)
        split = [beyond_frozen(network) for network in networks]
        front = split[0][0].to(device)  # frozen alike in all of them
        train_images, test_images = (through(front, part) for part in (data.train_images, data.test_images))
        self.trained = (train_images[trained], data.train_labels[trained])
        self.validation = (train_images[held_out], data.train_labels[held_out])
        self.test = (test_images, data.test_labels)
        self.trainer = method.trainer([rest for _, rest in split], device)
        texts = [str(d if isinstance(d, float | int) else dict(d)) for d in densities]
        self.key = (
            f"{method!r} {ground.key()} densities {texts} data {data.fingerprint()} seed {self.streams.seed} {device}"
        )

    def run(self, recorder: Recorder) -> list[History]:
        """Trains, from the last checkpoint if there is one; gives the metrics of every epoch, by network."""
        name = type(self.method).__module__.rpartition(".")[2]
        path = recorder.checkpoint(f"{name}-{hashlib.sha256(self.key.encode()).hexdigest()[:16]}")
        lines = self._resume(load(path, self.key, recorder.say), recorder)
        runs = len(self.densities)

        def on_epoch(epoch: int, loss: float) -> str:
            self.trainer.end_epoch(epoch)
            found = self._measured(epoch, loss)
            for line in found:
                recorder.metrics(**line)
            lines.extend(found)
            state = {name: tensor.cpu().numpy() for name, tensor in self.trainer.state().items()}
            save(path, self.key, Checkpoint(tensors=state, history=lines))
            return "test accuracy " + ", ".join(f"{line['test_accuracy']:.4f}" for line in found)

        finished, recipe = len(lines) // runs, self.method.recipe()
        run_epochs(self.trainer.step, *self.trained, recipe, self.streams, PURPOSE, recorder, [on_epoch], finished)
        return [lines[run::runs] for run in range(runs)]

    def _measured(self, epoch: int, loss: float) -> list[dict[str, float]]:
        """The metrics of an epoch, one line per network."""
        found: list[dict[str, float]] = []
        for density in self.densities:
            given = {"density": float(density)} if isinstance(density, float | int) else {}
            found.append({**given, "score_epoch": epoch, "score_loss": loss})
        measured = {"test_accuracy": self.test} | (
            {"validation_accuracy": self.validation} if self.method.validation else {}
        )
        for name, images in measured.items():
            for line, value in zip(found, self.trainer.accuracies(*images, BATCH), strict=True):
                line[name] = value
        return found

    def _resume(self, checkpoint: Checkpoint | None, recorder: Recorder) -> History:
        """Takes up a checkpoint and tells its metrics again, since this attempt's record starts empty."""
        if checkpoint is None:
            return []
        self.trainer.load({name: torch.from_numpy(tensor) for name, tensor in checkpoint.tensors.items()})
        for line in checkpoint.history:
            recorder.metrics(**line)
        epoch = len(checkpoint.history) // len(self.densities)
        recorder.say(f"scores: going on after epoch {epoch}, from a checkpoint")
        return list(checkpoint.history)


def beyond_frozen(network: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The layers before the first masked one, if they have weights at all, and the rest: only the rest is trained."""
    parts = list(network.named_children()) if isinstance(network, torch.nn.Sequential) else []
    first = next((i for i, (_, part) in enumerate(parts) if masked_weights(part)), 0)
    if not any(True for _, part in parts[:first] for _ in part.parameters()):
        return torch.nn.Sequential(), network
    front, rest = torch.nn.Sequential(), torch.nn.Sequential()
    for i, (name, part) in enumerate(parts):
        (front if i < first else rest).add_module(name, part)
    return front, rest


@torch.no_grad()
def through(front: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the frozen front makes of all images, worked out once instead of in every step."""
    return images if not list(front.children()) else torch.cat([front(block) for block in images.split(BATCH)])


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
