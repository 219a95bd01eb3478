"""The training of scores in a run: images, epochs, checkpoints and metrics, whatever moves the scores."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch

from lth_runner.core.checkpoint import Checkpoint, load, save
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Dataset, Inputs, split
from lth_runner.networks.attention import children
from lth_runner.problem import Problem
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.trainer import ScoreTrainer, gathering
from lth_runner.training.fit import Recipe, run_epochs
from lth_runner.training.split import split as split_data

BATCH = 2048  # images per forward pass where accuracy is measured
PURPOSE = "score_search"  # of the streams: all searches see the same batches
History = list[dict[str, float]]


class ScoreRun:
    """Networks of one architecture whose scores are trained together, each with a density of its own.

    Args:
        trainer: what trains the scores of such networks on a device.
        networks: with first scores; what stands in front of the scores is equal.
        recipe: of the training loop.
        validation: training images that only measure.
        problem: gives images, streams and the device.
        key: everything else that determines the training, as text.
    """

    def __init__(
        self,
        trainer: Callable[[Sequence[ScoredNetwork], str], ScoreTrainer],
        networks: Sequence[ScoredNetwork],
        recipe: Recipe,
        validation: int,
        problem: Problem,
        key: str,
    ) -> None:
        (data,), device = problem.need("data"), problem.device
        self.densities, self.recipe, self.streams = [network.density for network in networks], recipe, problem.streams
        parts = [split_before_scores(network) for network in networks]
        front = parts[0][0].to(device)
        train_inputs, test_inputs = (apply_front(front, part) for part in (trainable(data), data.test_inputs))
        behind = replace(data, train_inputs=train_inputs, test_inputs=test_inputs)
        parted = split_data(behind, validation, self.streams, PURPOSE)
        self.trained = parted.train
        self.measured = {f"{name}_accuracy": parted.measured[name] for name in sorted(parted.measured)}
        self.trainer = trainer([rest for _, rest in parts], device)
        texts = [str(density if isinstance(density, float | int) else dict(density)) for density in self.densities]
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
        for name, part in self.measured.items():
            for line, value in zip(found, self.trainer.accuracies(*part, BATCH), strict=True):
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


def split_before_scores(network: ScoredNetwork) -> tuple[torch.nn.Module, ScoredNetwork]:
    """The layers of a sequence before the first one to train, if they have weights at all, and the network of the rest.

    A layer is to train if one of its weights has scores, or a batch norm of it gathers statistics.
    """
    parts = children(network.module) if isinstance(network.module, torch.nn.Sequential) else []
    if repeats_weights(part for _, part in parts):
        return torch.nn.Sequential(), network
    scored = {name.partition(".")[0] for name in network.scores}
    first = next((i for i, (name, part) in enumerate(parts) if name in scored or gathering(part)), 0)
    if not any(True for _, part in parts[:first] for _ in part.parameters()):
        return torch.nn.Sequential(), network
    front, rest = torch.nn.Sequential(), torch.nn.Sequential()
    for i, (name, part) in enumerate(parts):
        (front if i < first else rest).add_module(name, part)
    return front.eval(), replace(network, module=rest)


def repeats_weights(parts: Iterable[torch.nn.Module]) -> bool:
    """Whether a module that has weights stands among these more than once."""
    weighted = [id(part) for part in parts if any(True for _ in part.parameters())]
    return len(set(weighted)) < len(weighted)


@torch.no_grad()
def apply_front(front: torch.nn.Module, inputs: Inputs) -> Inputs:
    """What the layers in front make of all inputs, worked out once instead of in every step."""
    return inputs if not list(front.children()) else torch.cat([front(block) for block in split(inputs, BATCH)])


def trainable(data: Dataset) -> Inputs:
    """The training inputs.

    Raises:
        ConfigError: there are none.
    """
    if data.train_inputs is None:
        raise ConfigError("a search trains scores on inputs and the data has none: give it a training part")
    return data.train_inputs
