"""Trainings that count in epochs and bring their own step: those of scores."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import torch

from lth_runner.core import checks
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Inputs
from lth_runner.training.loop import Batches, run_steps


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD on the cross-entropy. Weight decay is added to the gradient; the last, smaller batch of an epoch is used.

    Attributes:
        epochs: passes over the training set.
        batch: images per step.
        learning_rate: of the first epoch; epoch e of E has learning_rate * (1 + cos(pi e / E)) / 2, e from 0: a cosine
            in steps of one epoch, as in the paper's code.
        momentum: in [0, 1].
        weight_decay: 0 or more.
    """

    epochs: int
    batch: int
    learning_rate: float
    momentum: float
    weight_decay: float

    def __post_init__(self) -> None:
        checks.integer("epochs", self.epochs, at_least=1)
        checks.integer("batch", self.batch, at_least=1)
        checks.positive("learning_rate", self.learning_rate)
        checks.fraction("momentum", self.momentum)
        checks.not_negative("weight_decay", self.weight_decay)

    @classmethod
    def of(cls, part: Any) -> Self:
        """The settings of these names that `part` has, as a method's or a target's config gives them."""
        return cls(**{field.name: getattr(part, field.name) for field in fields(cls)})

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, from 0."""
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


# One update from images, labels and learning rate: gives the loss before it, still on the device.
Step = Callable[[Any, torch.Tensor, float], torch.Tensor]

# Called after an epoch with the number of finished epochs and the mean training loss over its steps, each taken before
# the step; the text it returns is shown beside the epoch's bar.
Hook = Callable[[int, float], str]


@contextlib.contextmanager
def reproducible() -> Iterator[None]:
    """The same bits every time: one CPU thread for torch, and on a GPU convolutions that are deterministic, in float32.

    One thread gives the same bits on any number of cores, and no waiting for threads on a busy machine. On small
    batches a second core gains little: the two-layer net takes some 13 s instead of 10. Torch's default for
    convolutions on a GPU is TF32, with 10 bits after the point.
    """
    threads, cudnn = torch.get_num_threads(), cast("Any", torch.backends.cudnn)
    before = cudnn.allow_tf32, cudnn.deterministic
    torch.set_num_threads(1)
    cudnn.allow_tf32, cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.allow_tf32, cudnn.deterministic = before


def run_epochs(
    step: Step,
    images: Inputs,
    labels: torch.Tensor,
    recipe: Recipe,
    streams: Streams,
    purpose: str,
    recorder: Recorder,
    on_epoch: Sequence[Hook] = (),
    finished: int = 0,
) -> None:
    """Calls `step` on every batch of every epoch, whatever it trains; momentum and weight decay are its own business.

    Equal arguments give equal bits on a CPU with an equal number of threads. The order of the images in epoch e, from
    0, is the stream (purpose, "order", e), so a training can go on after any epoch.

    Args:
        images: (N, ...), one tensor or named ones, on the device of what is trained, as is `labels`.
        finished: epochs that were trained before.

    Raises:
        ConfigError: the loss became infinite or NaN.
    """
    batches = Batches(inputs=images, labels=labels, size=recipe.batch, streams=streams, purpose=purpose, augment=None)
    per_epoch = batches.per_epoch

    def update(images: Inputs, labels: torch.Tensor | None, at: int) -> torch.Tensor:
        assert labels is not None, "they were given"
        return step(images, labels, recipe.rate(at // per_epoch))

    def after(at: int, losses: torch.Tensor) -> str:
        if at % per_epoch:
            return ""
        loss = float(losses.mean())
        return ", ".join(hook(at // per_epoch, loss) for hook in on_epoch)

    last = recipe.epochs * per_epoch
    run_steps(update, batches, finished * per_epoch, last, last, recipe.learning_rate, recorder, after)
