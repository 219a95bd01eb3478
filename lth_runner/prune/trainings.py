"""The trainings behind a ticket: from one start, on the same images in the same order, with and without masks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lth_runner.core.errors import DataError
from lth_runner.core.recorder import Named, Recorder
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import filled
from lth_runner.problem import Found, Problem
from lth_runner.prune.smaller import smaller
from lth_runner.search.space import random_space
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source, Stored
from lth_runner.ticket.ticket import Ticket
from lth_runner.training.evaluate import evaluated
from lth_runner.training.fit import reproducible
from lth_runner.training.loop import Augment
from lth_runner.training.recipe import Recipe
from lth_runner.training.split import split
from lth_runner.training.state import State
from lth_runner.training.train import train
from lth_runner.training.training import Training

Masks = Mapping[str, np.ndarray]  # bool, True = kept, by name of a prunable weight
Line = dict[str, float]  # what was measured at a step

PURPOSE = "training"  # of the streams: all trainings of a seed see the same batches


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A network after a training.

    Attributes:
        state: at its end.
        evaluations: step, validation_loss, validation_accuracy, test_loss, test_accuracy; the last is of the end.
    """

    state: State
    evaluations: list[Line]


class Trainings:
    """All trainings of one method on one problem.

    Attributes:
        network: the architecture.
        start: where every tensor comes from at step 0: prunable weights are drawn, the others stored.
        split: images for training, and for measuring.
    """

    def __init__(
        self,
        problem: Problem,
        recorder: Recorder,
        *,
        recipe: Recipe,
        augment: Augment | None,
        validation: int,
        evaluate_every: str,
        law: Distribution,
        key: str,
    ) -> None:
        self.network, data = problem.need("network", "data")
        self.seed, self.device, self.streams = problem.streams.seed, problem.device, problem.streams
        self.recipe, self._augment, self._recorder = recipe, augment, recorder
        self._every = Step.parse("evaluate_every", evaluate_every)
        space = random_space(self.network, law, None, frozen=[], biases="zero", seed=self.seed)
        self.start: dict[str, Source] = dict(space.weights)
        self.split = split(data, validation, self.streams, PURPOSE)
        text = f"{key} {self.network!r} data {data.fingerprint()} seed {self.seed} {self.device}"
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def prunable(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights that can be pruned, in the order of the network's parameters."""
        return {name: source.shape for name, source in self.start.items() if isinstance(source, Drawn)}

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.split.train[1]) // self.recipe.batch)

    def redrawn(self, which: str) -> dict[str, Source]:
        """Another start from the same laws: a re-initialisation.

        Args:
            which: names the numbers; different ones for every name.
        """
        return {
            name: replace(source, stream=("redrawn", which, name)) if isinstance(source, Drawn) else source
            for name, source in self.start.items()
        }

    def module(self, sources: Mapping[str, Source] | None = None) -> torch.nn.Module:
        """The network at its start, or with the tensors of these sources, on the device, to be trained."""
        given = self.start if sources is None else sources
        arrays = {name: s.draw(self.seed) if isinstance(s, Drawn) else s.array for name, s in given.items()}
        return filled(self.network, arrays).to(self.device).requires_grad_(True)

    def state(self, module: torch.nn.Module) -> State:
        """A module's values as the state of a training at step 0."""
        parameters = {name: tensor.detach().cpu().clone() for name, tensor in module.named_parameters()}
        buffers = {name: tensor.detach().cpu().clone() for name, tensor in module.named_buffers()}
        return State(step=0, parameters=parameters, buffers=buffers, optimizer={}, history=[])

    def train(
        self,
        name: str,
        masks: Masks,
        start: State | None = None,
        stop: Step | None = None,
        *,
        recipe: Recipe | None = None,
        streams: Streams | None = None,
        recorder: Recorder | None = None,
        **told: float | str,
    ) -> Trained:
        """Trains the network with these masks; what is pruned is 0 from the first step on.

        Where masks empty whole units and it pays, the steps are those of the network without them; see `smaller`.

        Args:
            name: of this training among all of the method: a stopped one is taken up by it.
            start: None for step 0 with the drawn weights.
            stop: before the recipe's end; the learning rates stay those of the whole recipe.
            recipe: another than the method's.
            streams: of the order of the images; None for the run's own.
            recorder: another than the method's.
            told: what the lines of metrics say besides.
        """
        recorder, module = recorder or self._recorder, self.module()

        def measure(step: int, training: Training) -> None:
            if step % self._every.steps(training.steps_per_epoch) == 0 or step == last:
                line: Line = {"step": step, **evaluated(training.outputs, self.split.measured)}
                training.record(**{**told, **line})  # type: ignore[arg-type]
                training.note(f"test accuracy {line['test_accuracy']:.4f}")

        used = recipe or self.recipe
        last = (stop or Step.parse("length", used.length)).steps(self.steps_per_epoch)
        shapes = {key: parameter.shape for key, parameter in module.named_parameters()}
        tensors = {key: torch.from_numpy(mask).expand(shapes[key]) for key, mask in masks.items()}
        begin = start or self.state(module)
        less = smaller(self.network, module, tensors, used, self.split.train[0])
        if less is not None:
            recorder.say(f"{name}: trained without its empty units, {100 * less.share:.0f} % of all parameters")
            module, tensors, start = less.module, less.masks(tensors), less.state(begin)
        with reproducible():
            end = train(
                module,
                self.split.train,
                used,
                streams or self.streams,
                PURPOSE,
                Named(recorder, name),
                masks=tensors,
                start=start,
                stop=stop,
                on_step=[measure],
                augment=self._augment,
                checkpoint=self._checkpoint(name, recorder),
            )
        if less is not None:
            end = less.whole(end, begin)
        evaluations = [{k: v for k, v in line.items() if k not in told} for line in end.history]
        return Trained(state=replace(end, history=[]), evaluations=evaluations)

    def forget(self, name: str) -> None:
        """Removes what a finished training kept to be taken up."""
        self._checkpoint(name, self._recorder).unlink(missing_ok=True)

    def found(
        self,
        masks: Masks,
        trained: Trained,
        start: Mapping[str, Source],
        facts: Mapping[str, float],
    ) -> Found:
        """The ticket of a training.

        Args:
            start: where its tensors came from when the training began.
        """
        weights = self.stored(trained.state, "trained")
        packed = {name: Mask.pack(mask) for name, mask in masks.items()}
        ticket = Ticket(
            architecture=self.network,
            seed=self.seed,
            weights=weights,
            masks=packed,
            start=start,
            facts=facts,
        )
        return Found(ticket=ticket)

    def _checkpoint(self, name: str, recorder: Recorder) -> Path:
        return recorder.checkpoint(f"{name.replace(' ', '-')}-{self.key}")

    def stored(self, state: State, origin: str) -> dict[str, Source]:
        """The tensors of a state, as they stand in a ticket.

        Raises:
            DataError: those of a level of pruning that were not kept.
        """
        if not state.parameters:
            raise DataError("the weights of this level were not kept, and its results are gone: set rerun=true")
        tensors = {**state.buffers, **state.parameters}
        return {name: Stored(array=tensors[name].numpy(), origin=origin) for name in self.start}

    def whole(self) -> dict[str, np.ndarray]:
        """Masks that keep every weight."""
        return {name: np.ones(shape, dtype=bool) for name, shape in self.prunable.items()}
