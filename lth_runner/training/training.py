"""A training under way: what one step does to the weights, and what hooks may see of it."""

from collections.abc import Mapping

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.core.recorder import Recorder
from lth_runner.data.interface import Inputs
from lth_runner.training.fast_cpu.sparse import sparse_training
from lth_runner.training.loop import Batches
from lth_runner.training.loss import Loss
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import State, read_state, write_state

Masks = Mapping[str, torch.Tensor]
FUSED = (torch.float32, torch.float64)  # what torch updates in one pass on a CPU

# Integers of a float's size: a float and all bits is itself, and no bits is 0. masked_fill takes 40 times as long.
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


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
        # Without masks the bits are those of the targets in people's caches; with masks, those of the fastest step.
        fused = bool(masks) and all(p.device.type == "cpu" and p.dtype in FUSED for p in trained)
        self._optimizer = recipe.build(trained, fused=fused)
        self._trained = trained
        kept = _kept(module, masks)
        parameters = dict(module.named_parameters())
        self._masked = [_Masked(parameters[name], mask) for name, mask in kept.items()]
        self._generators = _generators(batches.device)
        self._seed = batches.streams.torch_seed(batches.purpose, "step")
        self._history: list[dict[str, float]] = []
        self._losses, self._notes = torch.zeros(0), []
        if start is not None:
            write_state(start, module, self._optimizer)
            self.step = start.step
        self._prune_()
        self._sparse = sparse_training(module, self._optimizer, kept, batches, loss)

    @property
    def kind_of_step(self) -> str:
        """What decides the roundings of a step beside the settings: "dense", or how it skips pruned weights."""
        if self._sparse is not None:
            return self._sparse.kind
        return "dense, fused" if self._optimizer.param_groups[0].get("fused") else "dense"

    def state(self) -> State:
        """A copy of all that the rest of the training depends on."""
        if self._sparse is not None:
            self._sparse.remember()
        return read_state(self.module, self._optimizer, self.step, self._history)

    def loss(self) -> float:
        """The mean training loss over the steps taken in this epoch, each before its step; NaN before the first."""
        return float(self._losses.mean())

    @torch.no_grad()
    def outputs(self, inputs: Inputs) -> torch.Tensor:
        """What the network gives for these inputs in evaluation mode."""
        if self._sparse is not None:
            return self._sparse.outputs(inputs)
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
        if self._sparse is not None:
            self._sparse.load()

    def tell_again(self) -> None:
        """The history of what was taken up, since this attempt's record starts empty."""
        for line in self._history:
            self._recorder.metrics(**line)

    def update(self, inputs: Inputs, labels: torch.Tensor | None, step: int) -> torch.Tensor:
        """One step of the optimizer; what is random in the network, as dropout, is this step's own."""
        if self._sparse is not None:
            return self._sparse.step(inputs, labels, self._rate(step))
        for generator in self._generators:
            generator.manual_seed((self._seed + step) % 2**63)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step)
        loss = self._loss(self.module, inputs, labels)
        for parameter in self._trained:
            parameter.grad = None
        loss.backward()
        for masked in self._masked:
            masked.prune_gradient_()
        self._optimizer.step()
        for masked in self._masked:
            masked.prune_()
        return loss.detach()

    def stepped(self, step: int, losses: torch.Tensor) -> None:
        """Tells what the loop has done."""
        self.step, self._losses, self._notes = step, losses, []

    def notes(self) -> str:
        return ", ".join(self._notes)

    @torch.no_grad()
    def _prune_(self) -> None:
        """Sets pruned weights to 0, and what the optimizer remembers of them."""
        for masked in self._masked:
            masked.prune_()
            for entry in self._optimizer.state.get(masked.parameter, {}).values():
                if entry.shape == masked.parameter.shape:
                    entry.masked_fill_(~masked.kept, 0)


class _Masked:
    """A parameter and which of its weights are kept."""

    def __init__(self, parameter: torch.nn.Parameter, kept: torch.Tensor) -> None:
        self.parameter, self.kept = parameter, kept
        self._type = BITS[parameter.element_size()]
        self._bits = -kept.to(self._type)  # all bits where kept, none where pruned

    @torch.no_grad()
    def prune_(self) -> None:
        """Sets pruned weights to 0."""
        self.parameter.view(self._type).bitwise_and_(self._bits)

    def prune_gradient_(self) -> None:
        """Sets their gradient to 0, if there is one."""
        if self.parameter.grad is not None:
            self.parameter.grad.view(self._type).bitwise_and_(self._bits)


def _kept(module: torch.nn.Module, masks: Masks) -> dict[str, torch.Tensor]:
    """The mask of each masked parameter, in its shape.

    Raises:
        ConfigError: a mask has no parameter, another shape, or is not of bools.
    """
    parameters, found = dict(module.named_parameters()), {}
    for name, mask in masks.items():
        if name not in parameters:
            known = ", ".join(parameters)
            raise ConfigError(f"a mask names {name}, which is no parameter of the network: it has {known}")
        parameter = parameters[name]
        if mask.dtype != torch.bool:
            raise ConfigError(f"the mask of {name} must be of bools, got {mask.dtype}")
        try:
            found[name] = mask.to(parameter.device).expand(parameter.shape)
        except RuntimeError as error:
            raise ConfigError(f"the mask of {name} does not fit its shape {tuple(parameter.shape)}: {error}") from error
    return found


def _generators(device: torch.device) -> list[torch.Generator]:
    """The global ones that layers such as dropout draw from."""
    if device.type != "cuda":
        return [torch.default_generator]
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]
