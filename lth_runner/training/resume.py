"""Checkpoints of a training: what decides its bits, as text, and how it is kept."""

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lth_runner.core.digest import checksum
from lth_runner.core.errors import DataError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import named
from lth_runner.training.loop import Batches
from lth_runner.training.loss import Loss
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import save_state
from lth_runner.training.training import Masks, Training


def arithmetic(device: torch.device | str) -> str:
    """What decides roundings beside the settings and the number of threads: torch, and the kind of machine."""
    device = torch.device(device)
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__} {device.type} {kind}"


def saver(path: Path | None, key: str, recorder: Recorder) -> Callable[[Training], None]:
    """Keeps checkpoints at the path; a folder that cannot be written costs a line of warning, not the training."""
    refused = False

    def save(training: Training) -> None:
        nonlocal refused
        if path is None or refused:
            return
        try:
            save_state(path, key, training.state())
        except DataError as reason:
            refused = True
            recorder.say(f"warning: this training cannot be taken up if it is stopped: {reason}")

    return save


def key(training: Training, batches: Batches, recipe: Recipe, masks: Masks, last: int, loss: Loss) -> str:
    """Everything that determines a training, as text."""
    state = training.state()
    data = {f"inputs {name}".strip(): tensor for name, tensor in named(batches.inputs)}
    data |= {} if batches.labels is None else {"labels": batches.labels}
    return json.dumps(
        {
            "recipe": asdict(recipe),
            "seed": batches.streams.seed,
            "purpose": batches.purpose,
            "network": str(training.module),
            "trained": [name for name, parameter in training.module.named_parameters() if parameter.requires_grad],
            "start": [state.step, _digest(state.parameters), _digest(state.buffers), _digest(state.optimizer)],
            "stop": last,
            "masks": _digest(masks),
            "data": _digest(data),
            "loss": _text(loss),
            "augment": _text(batches.augment),
            **({} if training.kind_of_step == "dense" else {"step": training.kind_of_step}),
            "threads": torch.get_num_threads(),
            "arithmetic": arithmetic(batches.device),
        },
        sort_keys=True,
    )


def _digest(tensors: Masks) -> str:
    return checksum({name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()})


def _text(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}" if inspect.isroutine(value) else repr(value)
