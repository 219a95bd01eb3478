"""The one training loop: minibatch SGD over a dataset that lies on the device whole."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch.nn.functional import cross_entropy

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.streams import Streams

LOOK_EVERY = 50  # steps between two looks at the loss: a look makes a GPU wait


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
Step = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]

# Called after an epoch with the number of finished epochs and the mean training loss over its steps, each taken before
# the step; the text it returns is shown beside the epoch's bar.
Hook = Callable[[int, float], str]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread for torch: the same bits on any number of cores, and no waiting for threads on a busy machine.

    On small batches a second core gains little: the two-layer net takes some 13 s instead of 10.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fit(
    module: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    streams: Streams,
    purpose: str,
    recorder: Recorder,
    on_epoch: Sequence[Hook] = (),
) -> None:
    """Trains the parameters of `module` that require a gradient, in place, and leaves it in training mode.

    The arguments are those of `run_epochs`.
    """
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )

    def step(images: torch.Tensor, labels: torch.Tensor, rate: float) -> torch.Tensor:
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    module.train()
    run_epochs(step, images, labels, recipe, streams, purpose, recorder, on_epoch)


def run_epochs(
    step: Step,
    images: torch.Tensor,
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
        images: (N, C, H, W), on the device of what is trained, as is `labels`.
        finished: epochs that were trained before.

    Raises:
        ConfigError: the loss became infinite or NaN.
    """
    for epoch in range(finished, recipe.epochs):
        order = torch.from_numpy(streams(purpose, "order", str(epoch)).permutation(len(images))).to(images.device)
        batches = order.split(recipe.batch)
        with recorder.progress(f"epoch {epoch + 1}/{recipe.epochs}", len(batches)) as progress:
            losses = torch.zeros(len(batches), device=images.device)
            for start in range(0, len(batches), LOOK_EVERY):
                part = range(start, min(start + LOOK_EVERY, len(batches)))
                for i in part:
                    batch = (images.index_select(0, batches[i]), labels.index_select(0, batches[i]))
                    losses[i] = step(*batch, recipe.rate(epoch))
                _refuse_divergence(losses[part.start : part.stop], epoch * len(batches) + start, recipe)
                progress.advance(len(part), f"loss {float(losses[: part.stop].mean()):.4f}")
            loss = float(losses.mean())
            progress.advance(0, ", ".join([f"loss {loss:.4f}", *[hook(epoch + 1, loss) for hook in on_epoch]]))


def _refuse_divergence(losses: torch.Tensor, first_step: int, recipe: Recipe) -> None:
    """Stops at the first loss that is not a number: nothing after it can be."""
    finite = torch.isfinite(losses)
    if not bool(finite.all()):
        step = first_step + int((~finite).nonzero()[0])
        raise ConfigError(
            f"training diverged: the loss at step {step} (from 0) is {float(losses[step - first_step])} with "
            f"learning_rate={recipe.learning_rate}; set a smaller one"
        )
