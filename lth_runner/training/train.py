"""The one trainer of weights: from any state to any step, with masks, hooks and a checkpoint."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.core.step import Step
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Inputs
from lth_runner.training import resume
from lth_runner.training.loop import Augment, Batches, run_steps
from lth_runner.training.loss import Loss, classification
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import State, load_state
from lth_runner.training.training import Masks, Training

# Called with the number of updates so far, before the first update of a call and after every one; what it returns is
# not used. A hook may keep files of its own: they are written before the checkpoint of their step.
OnStep = Callable[[int, Training], object]


def train(
    module: torch.nn.Module,
    data: tuple[Inputs, torch.Tensor | None],
    recipe: Recipe,
    streams: Streams,
    purpose: str,
    recorder: Recorder,
    *,
    masks: Masks | None = None,
    start: State | None = None,
    stop: Step | None = None,
    on_step: Sequence[OnStep] = (),
    loss: Loss = classification,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
) -> State:
    """Trains the parameters of `module` that require a gradient, in place, and leaves it in training mode.

    Equal arguments give equal bits on one device within `training.fit.reproducible`, whether in one go, in parts
    (`stop`, then `start`), or killed and called again with the same checkpoint. Torch's global random state has no say
    and is left as it was.

    Args:
        module: on the device of the data.
        data: inputs (N, ...), one tensor or named ones, and labels (N,) or None.
        purpose: first part of the streams' names; see `Batches`.
        masks: bool by parameter name, True = kept, in the parameter's shape or broadcast to it: pruned weights are
            exactly 0 from the start on, whatever the optimizer. With few weights kept, steps of fully connected ReLU
            networks on a CPU leave out the others (`training.fast_cpu`): the same up to rounding; hooks find the
            weights in the module as always, but no gradients.
        start: of the training; None: step 0 with the module's own values.
        stop: where it ends before the recipe does; the learning rates stay those of the whole recipe.
        loss: of module, inputs and labels; one that needs no labels ignores them.
        augment: changes the inputs of every batch.
        checkpoint: file that is written after every epoch and at the end, and taken up by an equal call; the caller
            removes it. Loss and augment enter its key by name, or by their text if they are no functions.

    Raises:
        ConfigError: the loss became infinite or NaN, or start, stop, masks or optimizer don't fit the network.
    """
    inputs, labels = data
    batches = Batches(
        inputs=inputs, labels=labels, size=recipe.batch, streams=streams, purpose=purpose, augment=augment
    )
    last = _last_step(recipe, stop, batches.per_epoch)
    with _global_random_state_kept(batches.device):
        module.train()
        training = Training(module, batches, recipe, masks or {}, start, loss, recorder)
        key = resume.key(training, batches, recipe, masks or {}, last, loss) if checkpoint else ""
        save = resume.saver(checkpoint, key, recorder)
        found = load_state(checkpoint, key, recorder.say) if checkpoint else None
        if found is not None:
            training.take_up(found)
            training.tell_again()
            recorder.say(f"training: going on after step {found.step}, from a checkpoint")
        else:
            for hook in on_step:
                hook(training.step, training)

        def after(step: int, losses: torch.Tensor) -> str:
            training.stepped(step, losses)
            for hook in on_step:
                hook(step, training)
            if step % batches.per_epoch == 0 or step == last:
                save(training)
            return training.notes()

        length = recipe.steps(batches.per_epoch)
        run_steps(training.update, batches, training.step, last, length, recipe.learning_rate, recorder, after)
        return training.state()


def _last_step(recipe: Recipe, stop: Step | None, steps_per_epoch: int) -> int:
    length = recipe.steps(steps_per_epoch)
    last = length if stop is None else stop.steps(steps_per_epoch)
    if last > length:
        raise ConfigError(f"a training of {recipe.length} cannot stop at {stop}: choose an earlier step")
    return last


@contextlib.contextmanager
def _global_random_state_kept(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
