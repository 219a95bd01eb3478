"""The one training loop: minibatch SGD over a dataset that lies on the device whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.interfaces import Recorder
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


# Called after an epoch with the number of finished epochs and the mean training loss over its steps, each taken before
# the step; the text it returns is shown beside the epoch's bar.
Hook = Callable[[int, float], str]


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

    Equal arguments give equal bits on a CPU with an equal number of threads. The order of the images in epoch e, from
    0, is the stream (purpose, "order", e).

    Args:
        images: (N, C, H, W), on the module's device, as is `labels`.

    Raises:
        ConfigError: the loss became infinite or NaN.
    """
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.epochs)
    module.train()
    for epoch in range(recipe.epochs):
        order = torch.from_numpy(streams(purpose, "order", str(epoch)).permutation(len(images))).to(images.device)
        batches = order.split(recipe.batch)
        with recorder.progress(f"epoch {epoch + 1}/{recipe.epochs}", len(batches)) as progress:
            losses = torch.zeros(len(batches), device=images.device)
            for start in range(0, len(batches), LOOK_EVERY):
                part = range(start, min(start + LOOK_EVERY, len(batches)))
                for i in part:
                    losses[i] = _step(module, images, labels, batches[i], optimizer)
                _refuse_divergence(losses[part.start : part.stop], epoch * len(batches) + start, recipe)
                progress.advance(len(part), f"loss {float(losses[: part.stop].mean()):.4f}")
            loss = float(losses.mean())
            progress.advance(0, ", ".join([f"loss {loss:.4f}", *[hook(epoch + 1, loss) for hook in on_epoch]]))
        schedule.step()


def _step(
    module: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    batch: torch.Tensor,
    optimizer: torch.optim.Optimizer,
) -> torch.Tensor:
    """One update; the loss before it, still on the device."""
    loss = cross_entropy(module(images.index_select(0, batch)), labels.index_select(0, batch))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _refuse_divergence(losses: torch.Tensor, first_step: int, recipe: Recipe) -> None:
    """Stops at the first loss that is not a number: nothing after it can be."""
    finite = torch.isfinite(losses)
    if not bool(finite.all()):
        step = first_step + int((~finite).nonzero()[0])
        raise ConfigError(
            f"training diverged: the loss at step {step} (from 0) is {float(losses[step - first_step])} with "
            f"learning_rate={recipe.learning_rate}; set a smaller one"
        )
