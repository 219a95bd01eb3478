"""The training of scores as a run lives it: images, epochs, checkpoints and metrics, whatever moves the scores."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch

from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import images as images_of
from lth_runner.data.interface import labels as labels_of
from lth_runner.problem import Problem
from lth_runner.search.masked import masked_weights
from lth_runner.search.trainer import ScoreTrainer
from lth_runner.training.checkpoint import Checkpoint, load, save
from lth_runner.training.fit import Recipe, run_epochs

BATCH = 2048  # images per forward pass where accuracy is measured
PURPOSE = "score_search"  # of the streams: all searches see the same batches
Density = float | Mapping[str, float]  # kept / total, of all weights alike or by name
History = list[dict[str, float]]


class ScoreRun:
    """Networks of one architecture whose scores are trained together, each with a density of its own.

    Args:
        trainer: what trains the scores of such networks on a device.
        networks: masked; their frozen layers in front are equal.
        densities: one per network, for the metrics.
        recipe: of the training loop.
        validation: training images that only measure.
        problem: gives images and streams.
        key: everything else that determines the training, as text.
    """

    def __init__(
        self,
        trainer: Callable[[Sequence[torch.nn.Module], str], ScoreTrainer],
        networks: Sequence[torch.nn.Module],
        densities: Sequence[Density],
        recipe: Recipe,
        validation: int,
        problem: Problem,
        device: str,
        key: str,
    ) -> None:
        assert problem.data is not None, "checked by the caller"
        self.densities, self.recipe, self.streams = densities, recipe, problem.streams
        data = problem.data.to(device)
        images, truth = images_of(data.train_inputs), labels_of(data.train_labels)
        order = torch.from_numpy(self.streams(PURPOSE, "validation").permutation(len(images)))
        held_out, trained = order[:validation].to(device), order[validation:].to(device)
        split = [beyond_frozen(network) for network in networks]
        front = split[0][0].to(device)
        train_inputs, test_inputs = (through(front, part) for part in (images, images_of(data.test_inputs)))
        self.trained = (train_inputs[trained], truth[trained])
        self.measured = {"test_accuracy": (test_inputs, labels_of(data.test_labels))}
        if validation:
            self.measured["validation_accuracy"] = (train_inputs[held_out], truth[held_out])
        self.trainer = trainer([rest for _, rest in split], device)
        texts = [str(density if isinstance(density, float | int) else dict(density)) for density in densities]
        self.key = f"{key} densities {texts} data {data.fingerprint()} seed {self.streams.seed} {device}"

    def train(self, name: str, recorder: Recorder) -> list[History]:
        """Trains, from the last checkpoint if there is one; gives the metrics of every epoch, by network.

        Args:
            name: first part of the checkpoint's.
        """
        path = recorder.checkpoint(f"{name}-{hashlib.sha256(self.key.encode()).hexdigest()[:16]}")
        lines = self._resume(load(path, self.key, recorder.say), recorder)
        runs = len(self.densities)

        def on_epoch(epoch: int, loss: float) -> str:
            self.trainer.end_epoch(epoch)
            found = self._lines(epoch, loss)
            for line in found:
                recorder.metrics(**line)
            lines.extend(found)
            state = {name: tensor.cpu().numpy() for name, tensor in self.trainer.state().items()}
            save(path, self.key, Checkpoint(tensors=state, history=lines))
            return "test accuracy " + ", ".join(f"{line['test_accuracy']:.4f}" for line in found)

        finished = len(lines) // runs
        run_epochs(self.trainer.step, *self.trained, self.recipe, self.streams, PURPOSE, recorder, [on_epoch], finished)
        return [lines[run::runs] for run in range(runs)]

    def _lines(self, epoch: int, loss: float) -> History:
        """The metrics of an epoch, one line per network."""
        found: History = []
        for density in self.densities:
            given = {"density": float(density)} if isinstance(density, float | int) else {}
            found.append({**given, "score_epoch": epoch, "score_loss": loss})
        for name, images in self.measured.items():
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
