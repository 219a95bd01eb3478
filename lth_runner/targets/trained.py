"""The target of the paper's Experiment 1: a network trained here, once, and kept."""

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.files import locked
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset
from lth_runner.data.interface import images as images_of
from lth_runner.data.interface import labels as labels_of
from lth_runner.measure.accuracy import accuracy
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.targets import kept
from lth_runner.targets.kept import Kept
from lth_runner.training.fit import Recipe, fit, one_thread
from lth_runner.training.start import start_

# Raise this by hand when a change of the code changes the weights that equal settings give: kept targets are then
# trained again.
TRAINING_VERSION = 2

TEST_BATCH = 2048  # images per forward pass


@dataclass(frozen=True, kw_only=True)
class TrainedTarget:
    """Trains the network with `training.fit`, or takes it from the cache where equal settings have trained it before.

    Reference: arXiv:2006.07990, Experiment 1, and its published code. Differs from the paper: nothing but the random
    numbers; starting weights and the order of the images come from streams of `seed`.

    Attributes:
        cache: folder of trained targets; one that cannot be written costs a line of warning, not the run.
        seed: of the starting weights and of the order of the images.
        epochs, batch, learning_rate, momentum, weight_decay: see `training.fit.Recipe`.
    """

    cache: str
    seed: int
    epochs: int
    batch: int
    learning_rate: float
    momentum: float
    weight_decay: float

    def __post_init__(self) -> None:
        checks.integer("target.seed", self.seed, at_least=0)
        self.recipe()

    def recipe(self) -> Recipe:
        """The settings of the training loop."""
        return Recipe.of(self)

    def weights(
        self, network: Architecture, data: Dataset | None, streams: Streams, device: str, recorder: Recorder
    ) -> dict[str, np.ndarray]:
        """The trained weights, from the cache or from a training that shows a bar per epoch."""
        if data is None:
            raise ConfigError("target=trained needs a dataset to train on: add data=mnist, or take target=synthetic")
        key = self.key(network, data)
        name = f"{data.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
        found = self._obtain(Path(self.cache).expanduser() / name, key, network, data.to(device), recorder)
        return {name: found.tensors[name].astype(np.float64) for name in parameter_shapes(network)}

    def key(self, network: Architecture, data: Dataset) -> str:
        """Everything that determines the weights, as text. The device is left out: it changes roundings alone."""
        return json.dumps(
            {
                "version": TRAINING_VERSION,
                "network": f"{type(network).__module__}.{network!r}",
                "data": data.fingerprint(),
                "recipe": asdict(self.recipe()),
                "seed": self.seed,
            },
            sort_keys=True,
        )

    def _obtain(self, path: Path, key: str, network: Architecture, data: Dataset, recorder: Recorder) -> Kept:
        with contextlib.ExitStack() as lock:
            with contextlib.suppress(DataError):  # in a cache that cannot be written there is nobody to wait for
                waiting = "target: waiting for another run, which is training it"
                lock.enter_context(locked(path.with_suffix(".lock"), lambda: recorder.say(waiting)))
            found = kept.load(path, key, recorder.say)
            if found is not None:
                recorder.say(f"target: test accuracy {found.test_accuracy:.4f}, trained before: {path}")
                return found
            found = self._train(network, data, recorder)
            recorder.say(f"target: test accuracy {found.test_accuracy:.4f}, trained now")
            try:
                kept.save(path, key, found)
            except DataError as reason:
                recorder.say(f"warning: the trained target is not kept for the next run: {reason}")
            return found

    def _train(self, network: Architecture, data: Dataset, recorder: Recorder) -> Kept:
        module = network.module()
        streams = Streams(self.seed)
        start_(module, streams, "target")
        images, truth = images_of(data.train_inputs), labels_of(data.train_labels)
        module.to(images.device)

        def test() -> float:
            return accuracy(module, data.test_inputs, labels_of(data.test_labels), TEST_BATCH)

        def on_epoch(epoch: int, loss: float) -> str:
            tested = test()
            recorder.metrics(target_epoch=epoch, target_loss=loss, target_accuracy=tested)
            return f"test accuracy {tested:.4f}"

        with one_thread():
            fit(module, images, truth, self.recipe(), streams, "target", recorder, [on_epoch])
        state = {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}
        return Kept(tensors=state, test_accuracy=test())
