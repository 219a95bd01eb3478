"""All that the rest of a training depends on, in memory and on disk: it can be taken up, branched and rewound."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lth_runner.core.checkpoint import Checkpoint, load, save
from lth_runner.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class State:
    """A training after so many steps. Tensors are copies on the CPU.

    A branch begins from a state as it is; weights rewound without the optimizer's memory from
    `replace(state, optimizer={})`; trained weights with an earlier learning rate from `replace(state, step=...)`.

    Attributes:
        step: updates of the optimizer so far.
        parameters: by name, tied ones once.
        buffers: by name, those that a state dict leaves out included.
        optimizer: the optimizer's tensors, as "exp_avg/fc1.weight"; empty for one without a past.
        history: the lines of metrics that hooks recorded since the call of `train` began, in their order.
    """

    step: int
    parameters: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    history: list[dict[str, float]]


def read_state(
    module: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, history: list[dict[str, float]]
) -> State:
    """The state of a training under way.

    Raises:
        ConfigError: the optimizer remembers something other than tensors.
    """
    return State(
        step=step,
        parameters={name: _copy(parameter) for name, parameter in module.named_parameters()},
        buffers={name: _copy(buffer) for name, buffer in module.named_buffers()},
        optimizer=dict(_memory(module, optimizer)),
        history=[dict(line) for line in history],
    )


@torch.no_grad()
def write_state(state: State, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts a state's tensors into the module and the optimizer, in place.

    Raises:
        ConfigError: it is the state of another network.
    """
    parameters = dict(module.named_parameters())
    for found, given in ((parameters, state.parameters), (dict(module.named_buffers()), state.buffers)):
        if {name: t.shape for name, t in found.items()} != {name: t.shape for name, t in given.items()}:
            raise ConfigError(
                f"a training cannot begin from the state of another network: it has {', '.join(given)}, this one "
                f"{', '.join(found)}"
            )
        for name, tensor in found.items():
            tensor.copy_(given[name])
    for place, tensor in state.optimizer.items():
        entry, _, name = place.partition("/")
        parameter = parameters[name]
        # torch counts steps on the CPU, in a type of its own
        device = tensor.device if entry == "step" else parameter.device
        optimizer.state[parameter][entry] = tensor.to(device, copy=True)


def save_state(path: Path, key: str, state: State) -> None:
    """Writes the state, whole or not at all; errors and `key` as in `checkpoint.save`."""
    parts = {"parameters": state.parameters, "buffers": state.buffers, "optimizer": state.optimizer}
    tensors = {f"{part}/{name}": tensor.numpy() for part, given in parts.items() for name, tensor in given.items()}
    save(path, key, Checkpoint(tensors={"step": np.array(state.step), **tensors}, history=state.history))


def load_state(path: Path, key: str, say: Callable[[str], None]) -> State | None:
    """The state kept under `key`; None where there is none, or none of use, which is logged through `say`."""
    found = load(path, key, say)
    if found is None:
        return None
    parts: dict[str, dict[str, torch.Tensor]] = {"parameters": {}, "buffers": {}, "optimizer": {}}
    for place, array in found.tensors.items():
        part, _, name = place.partition("/")
        if name:
            parts[part][name] = torch.from_numpy(array)
    return State(step=int(found.tensors["step"]), history=found.history, **parts)


def _memory(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in module.named_parameters():
        for entry, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                yield f"{entry}/{name}", _copy(value)
            elif value is not None:  # SGD without momentum keeps an empty place for it
                raise ConfigError(
                    f"optimizer={type(optimizer).__name__} remembers {entry} as a {type(value).__name__}, so its "
                    "trainings cannot be kept: choose one that remembers tensors"
                )


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)
