"""The target of the paper's Experiment 1: a network trained here, once, and kept for later runs."""

import contextlib
import hashlib
import inspect
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.checkpoint import Checkpoint, UnusableError, save, verified
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.files import locked
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset, named
from lth_runner.data.interface import labels as labels_of
from lth_runner.measure.accuracy import accuracy
from lth_runner.networks.imported import Imported, import_builder
from lth_runner.networks.interface import Architecture, below, skeleton, state_shapes, tensors_of
from lth_runner.targets.state import arrays
from lth_runner.training.fit import reproducible
from lth_runner.training.loop import Augment
from lth_runner.training.recipe import Recipe
from lth_runner.training.resume import arithmetic
from lth_runner.training.start import built, start_
from lth_runner.training.train import train
from lth_runner.training.training import Training

# Raise this by hand when a change of the code changes the weights that equal settings give, or the file they are kept
# in: targets are then trained again.
TRAINING_VERSION = 3

TEST_BATCH = 2048  # images per forward pass


@dataclass(frozen=True, kw_only=True)
class TrainedTarget:
    """Trains the network with `training.train`, or takes it from the cache where equal settings have trained it before.

    A training that was stopped goes on after its last epoch, in a later run with equal settings.

    Reference: arXiv:2006.07990, Experiment 1, and its published code. Differs from the paper: nothing but the random
    numbers; starting weights and the order of the images come from streams of `seed`.

    Attributes:
        cache: folder of trained targets; one that cannot be written costs a line of warning, not the run.
        seed: of the starting weights and of the order of the images.
        epochs: passes over the training set, 1 or more.
        frozen: layers or blocks whose parameters keep the values that they start with; all others are trained.
        augment: what changes the images of every batch; None for nothing.
        batch, learning_rate, optimizer, momentum, weight_decay, optimizer_arguments, schedule, schedule_arguments,
            schedule_unit: see `training.recipe.Recipe`.
    """

    cache: str
    seed: int
    epochs: int
    frozen: list[str]
    batch: int
    learning_rate: float
    optimizer: str
    momentum: float
    weight_decay: float
    optimizer_arguments: dict[str, Any] | None
    schedule: str
    schedule_arguments: dict[str, Any] | None
    schedule_unit: str
    augment: Augment | None

    def __post_init__(self) -> None:
        checks.integer("target.seed", self.seed, at_least=0)
        checks.integer("epochs", self.epochs, at_least=1)
        checks.listed("target.frozen", self.frozen)
        self.recipe()

    def recipe(self) -> Recipe:
        """The settings of the training."""
        return Recipe(
            length=f"{self.epochs}ep",
            batch=self.batch,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            optimizer_arguments=self.optimizer_arguments,
            schedule=self.schedule,
            schedule_arguments=self.schedule_arguments,
            schedule_unit=self.schedule_unit,
        )

    def check(self, network: Architecture, data: Dataset | None) -> None:
        """Refuses data that nothing can be trained on, and layers that are not there."""
        frozen, parameters = below(network, self.frozen), skeleton(network).named_parameters()
        if self.frozen and not any(each.requires_grad for name, each in parameters if name not in frozen):
            raise ConfigError(f"target.frozen=[{','.join(self.frozen)}] leaves nothing to train: name fewer layers")
        self._usable(data)

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """The trained network, from the cache or from a training that shows a bar per epoch."""
        data = self._usable(data)
        key = self.key(network, data, device)
        found = self._obtain(self._place(key, data), key, network, data.to(device), recorder)
        return arrays({name: torch.from_numpy(found.tensors[name]) for name in state_shapes(network)})

    def file(self, network: Architecture, data: Dataset | None, device: str) -> Path | None:
        """Where the cache has it; see `KeptInFile`."""
        return None if data is None else self._place(self.key(network, data, device), data)

    def _place(self, key: str, data: Dataset) -> Path:
        name = f"{data.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
        return Path(self.cache).expanduser() / name

    def _usable(self, data: Dataset | None) -> Dataset:
        if data is None:
            raise ConfigError("target=trained needs a dataset to train on: add data=mnist, or take target=synthetic")
        if data.train_inputs is None:
            raise ConfigError(f"target=trained needs training inputs and data {data.name} has none: take target=own")
        labels_of(data.train_labels)
        return data

    def key(self, network: Architecture, data: Dataset, device: str) -> str:
        """Everything that determines the weights to the last bit, as text; a training takes one thread."""
        augmented = {} if self.augment is None else {"augment": repr(self.augment)}
        frozen = {"frozen": sorted(self.frozen)} if self.frozen else {}
        return json.dumps(
            {
                **augmented,
                **frozen,
                **foreign_code(network),
                "version": TRAINING_VERSION,
                "network": f"{type(network).__module__}.{network!r}",
                "data": data.fingerprint(),
                "recipe": asdict(self.recipe()),
                "seed": self.seed,
                "arithmetic": arithmetic(device),
            },
            sort_keys=True,
        )

    def _obtain(self, path: Path, key: str, network: Architecture, data: Dataset, recorder: Recorder) -> Checkpoint:
        with contextlib.ExitStack() as lock:
            unfinished: Path | None = path.with_suffix(".unfinished")
            try:
                waiting = "target: waiting for another run, which is training it"
                lock.enter_context(
                    locked(path.with_suffix(".lock"), lambda file: recorder.say(f"{waiting} ({file} is its lock)"))
                )
            except DataError:  # in a cache that cannot be written there is nobody to wait for, and nothing to take up
                unfinished = None
            found = _cached(path, key, recorder)
            if found is None:
                found = self._train(network, data, unfinished, recorder)
                recorder.say(f"target: test accuracy {_tested(found):.4f}, trained now")
                _keep(path, key, found, unfinished, recorder)
            else:
                recorder.say(f"target: test accuracy {_tested(found):.4f}, trained before: {path}")
            return found

    def _train(self, network: Architecture, data: Dataset, unfinished: Path | None, recorder: Recorder) -> Checkpoint:
        streams = Streams(self.seed)
        module = built(network, streams, "target")
        start_(module, streams, "target")
        frozen = below(network, self.frozen)
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name not in frozen)
        assert data.train_inputs is not None, "checked by the caller"
        inputs, truth = data.train_inputs, labels_of(data.train_labels)
        module.to(named(inputs)[0][1].device)

        def on_step(step: int, training: Training) -> None:
            epoch, rest = divmod(step, training.steps_per_epoch)
            if epoch and not rest:
                tested = accuracy(module, data.test_inputs, labels_of(data.test_labels), TEST_BATCH)
                training.record(target_epoch=epoch, target_loss=training.loss(), target_accuracy=tested)
                training.note(f"test accuracy {tested:.4f}")

        with reproducible():
            end = train(
                module,
                (inputs, truth),
                self.recipe(),
                streams,
                "target",
                recorder,
                on_step=[on_step],
                checkpoint=unfinished,
            )
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in tensors_of(module).items()}
        return Checkpoint(tensors=tensors, history=end.history)


def _tested(found: Checkpoint) -> float:
    return found.history[-1]["target_accuracy"]


def foreign_code(network: Architecture) -> dict[str, str]:
    """What else decides a network that is not of this package: its structure, and the file that builds it."""
    builder = import_builder(network.builder) if isinstance(network, Imported) else type(network)
    module = inspect.getmodule(builder)
    if module is None or module.__name__.split(".")[0] == "lth_runner":
        return {}
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError):
        source = ""
    return {"structure": str(skeleton(network)), "code": hashlib.sha256(source.encode()).hexdigest()}


def _cached(path: Path, key: str, recorder: Recorder) -> Checkpoint | None:
    """The target kept under `key`; None where there is none, or where the file is damaged, which the recorder says."""
    try:
        return verified(path, key) if path.is_file() else None
    except UnusableError as reason:
        recorder.say(f"target: the trained network {path} is damaged ({reason}), so it is trained again")
        return None


def _keep(path: Path, key: str, found: Checkpoint, unfinished: Path | None, recorder: Recorder) -> None:
    """Puts the target into the cache, in place of what its training kept to be taken up."""
    try:
        save(path, key, found)
    except DataError as reason:
        recorder.say(f"warning: the trained target is not kept for the next run: {reason}")
    else:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)
