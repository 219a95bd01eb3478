"""A training under way: what one step does to the weights, and what hooks may see of it."""

from collections.abc import Callable, Mapping

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Inputs
from lth_runner.training.loop import Batches
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import State, read_state, write_state

Masks = Mapping[str, torch.Tensor]
Loss = Callable[[torch.nn.Module, Inputs, torch.Tensor | None], torch.Tensor]  # of module, inputs, labels


class Training:
    """A training under way, as hooks see it.

    Attributes:
        module: in training mode; a hook that changes its mode changes it back.
        step: updates so far.
        steps_per_epoch: the last, smaller batch counted.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        batches: Batches,
        recipe: Recipe,
        masks: Masks,
        start: State | None,
        loss: Loss,
        recorder: Recorder,
    ) -> None:
        self.module, self.steps_per_epoch, self.step = module, batches.per_epoch, 0
        self._recipe, self._loss, self._recorder = recipe, loss, recorder
        self._rate = recipe.rates(batches.per_epoch)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not trained:
            raise ConfigError("there is nothing to train: no parameter of the network requires a gradient")
        self._optimizer = recipe.build(trained)
        self._pruned = _pruned(module, masks)
        self._generators = _generators(batches.device)
        self._seed = batches.streams.torch_seed(batches.purpose, "step")
        self._history: list[dict[str, float]] = []
        self._losses, self._notes = torch.zeros(0), []
        if start is not None:
            self.take_up(start)
            self._history = []
        self._prune_()

    def state(self) -> State:
        """A copy of all that the rest of the training depends on."""
        return read_state(self.module, self._optimizer, self.step, self._history)

    def loss(self) -> float:
        """The mean training loss over the steps taken in this epoch, each before its step; NaN before the first."""
        return float(self._losses.mean())

    @torch.no_grad()
    def outputs(self, inputs: Inputs) -> torch.Tensor:
        """What the network gives for these inputs in evaluation mode."""
        self.module.eval()
        found = self.module(inputs)
        self.module.train()
        return found

    def record(self, **values: float) -> None:
        """One line of metrics, for the run's record and the state's history: a training taken up tells it again."""
        self._history.append(values)
        self._recorder.metrics(**values)

    def note(self, text: str) -> None:
        """A text to be shown beside the epoch's bar."""
        self._notes.append(text)

    def take_up(self, state: State) -> None:
        """Goes on from a state of this very training; its metrics are recorded again."""
        write_state(state, self.module, self._optimizer)
        self.step, self._history = state.step, [dict(line) for line in state.history]

    def tell_again(self) -> None:
        """The history of what was taken up, since this attempt's record starts empty."""
        for line in self._history:
            self._recorder.metrics(**line)

    def update(self, inputs: Inputs, labels: torch.Tensor | None, step: int) -> torch.Tensor:
        """One step of the optimizer; what is random in the network, as dropout, is this step's own."""
        for generator in self._generators:
            generator.manual_seed((self._seed + step) % 2**63)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step)
        loss = self._loss(self.module, inputs, labels)
        self._optimizer.zero_grad()
        loss.backward()
        for parameter, pruned in self._pruned:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(pruned, 0)
        self._optimizer.step()
        with torch.no_grad():
            for parameter, pruned in self._pruned:
                parameter.masked_fill_(pruned, 0)
        return loss.detach()

    def stepped(self, step: int, losses: torch.Tensor) -> None:
        """Tells what the loop has done."""
        self.step, self._losses, self._notes = step, losses, []

    def notes(self) -> str:
        return ", ".join(self._notes)

    @torch.no_grad()
    def _prune_(self) -> None:
        """Sets pruned weights to 0, and what the optimizer remembers of them."""
        for parameter, pruned in self._pruned:
            parameter.masked_fill_(pruned, 0)
            for entry in self._optimizer.state.get(parameter, {}).values():
                if entry.shape == parameter.shape:
                    entry.masked_fill_(pruned, 0)


def _pruned(module: torch.nn.Module, masks: Masks) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
    """Each masked parameter and where it is pruned.

    Raises:
        ConfigError: a mask has no parameter, another shape, or is not of bools.
    """
    parameters, found = dict(module.named_parameters()), []
    for name, mask in masks.items():
        if name not in parameters:
            known = ", ".join(parameters)
            raise ConfigError(f"a mask names {name}, which is no parameter of the network: it has {known}")
        parameter = parameters[name]
        if mask.dtype != torch.bool:
            raise ConfigError(f"the mask of {name} must be of bools, got {mask.dtype}")
        try:
            kept = mask.to(parameter.device).expand(parameter.shape)
        except RuntimeError as error:
            raise ConfigError(f"the mask of {name} does not fit its shape {tuple(parameter.shape)}: {error}") from error
        found.append((parameter, ~kept))
    return found


def _generators(device: torch.device) -> list[torch.Generator]:
    """The global ones that layers such as dropout draw from."""
    if device.type != "cuda":
        return [torch.default_generator]
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]
