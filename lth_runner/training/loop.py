"""The one training loop: minibatches of a dataset that lies on the device whole, and a bar per epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Inputs, images, named, num_samples, select

LOOK_EVERY = 50  # steps between two looks at the loss: a look makes a GPU wait

# Other images in place of these, (B, ...) as they are; all chance is the generator's, which is the batch's own.
Augment = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]

# One update from inputs, labels and the number of updates before it: gives the loss before it, still on the device.
Update = Callable[[Inputs, torch.Tensor | None, int], torch.Tensor]

# Called after each update with the number of updates so far and the losses of this epoch, (k,); its text, if any, is
# shown beside the bar.
After = Callable[[int, torch.Tensor], str]


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The minibatches of every epoch; the last of an epoch may be smaller.

    The order of the samples in epoch e, from 0, is the stream (purpose, "order", e), and what is random in changing
    batch b of it is the stream (purpose, "augment", e, b), so that a training can go on after any step.

    Attributes:
        inputs: (N, ...), one tensor or named ones, on the device of what is trained, as are the labels.
        labels: (N,); None where the loss needs none.
        size: samples per step.
    """

    inputs: Inputs
    labels: torch.Tensor | None
    size: int
    streams: Streams
    purpose: str
    augment: Augment | None

    @property
    def device(self) -> torch.device:
        """Where the inputs lie."""
        return named(self.inputs)[0][1].device

    @property
    def per_epoch(self) -> int:
        return -(-num_samples(self.inputs) // self.size)

    def epoch(self, epoch: int, numbers: range) -> Iterator[tuple[int, Inputs, torch.Tensor | None]]:
        """The batches of these numbers, with their numbers."""
        order = self.streams(self.purpose, "order", str(epoch)).permutation(num_samples(self.inputs))
        parts = torch.from_numpy(order).to(self.device).split(self.size)
        for i in numbers:
            inputs = select(self.inputs, parts[i])
            if self.augment is not None:
                inputs = self.augment(images(inputs), self.streams(self.purpose, "augment", str(epoch), str(i)))
            yield i, inputs, None if self.labels is None else self.labels.index_select(0, parts[i])


def run_steps(
    update: Update,
    batches: Batches,
    first: int,
    last: int,
    length: int,
    learning_rate: float,
    recorder: Recorder,
    after: After,
) -> None:
    """Calls `update` for the steps `first` to `last` - 1 of a training of `length` steps, whatever it trains.

    Args:
        learning_rate: the one that a message about divergence names.

    Raises:
        ConfigError: the loss became infinite or NaN.
    """
    per_epoch = batches.per_epoch
    for epoch in range(first // per_epoch, -(-last // per_epoch)):
        begun = epoch * per_epoch
        numbers = range(max(first - begun, 0), min(last - begun, per_epoch))
        label = f"epoch {epoch + 1}/{-(-length // per_epoch)}"
        with recorder.progress(label, len(numbers)) as progress:
            _run_epoch(update, batches, epoch, numbers, learning_rate, progress, after)


def _run_epoch(
    update: Update,
    batches: Batches,
    epoch: int,
    numbers: range,
    learning_rate: float,
    progress: Progress,
    after: After,
) -> None:
    """The steps of one epoch, or the part of them that is asked for."""
    losses = torch.zeros(len(numbers), device=batches.device)
    looked = 0  # at so many losses
    for done, (i, inputs, labels) in enumerate(batches.epoch(epoch, numbers), start=1):
        step = epoch * batches.per_epoch + i
        losses[done - 1] = update(inputs, labels, step)
        if (i + 1) % LOOK_EVERY == 0 or i + 1 == numbers.stop:
            _refuse_divergence(losses[looked:done], step + 1 - (done - looked), learning_rate)
            progress.advance(done - looked, f"loss {float(losses[:done].mean()):.4f}")
            looked = done
        note = after(step + 1, losses[:done])
        if note:
            progress.advance(0, f"loss {float(losses[:done].mean()):.4f}, {note}")


def _refuse_divergence(losses: torch.Tensor, first_step: int, learning_rate: float) -> None:
    """Stops at the first loss that is not a number: nothing after it can be."""
    finite = torch.isfinite(losses)
    if not bool(finite.all()):
        step = first_step + int((~finite).nonzero()[0])
        raise ConfigError(
            f"training diverged: the loss at step {step} (from 0) is {float(losses[step - first_step])} with "
            f"learning_rate={learning_rate}; set a smaller one"
        )
