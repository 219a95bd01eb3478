"""The settings of a training of weights: how long, which optimizer, and how its learning rate goes down."""

import importlib
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.step import Step

OWN = ("params", "lr", "momentum", "weight_decay")  # arguments of an optimizer that are settings of their own

IMPLEMENTATIONS = {"fused", "foreach", "differentiable"}  # arguments of which torch takes one

PLAIN = ("constant", "cosine")  # schedules that are no classes of torch


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Any optimizer of torch, with any schedule of its learning rate that does not depend on the losses.

    Attributes:
        length: as a `Step`, "10ep" or "50000it".
        batch: samples per step; the last, smaller batch of an epoch is used.
        learning_rate: that the schedule begins with, above 0.
        optimizer: a class of torch.optim ("SGD", "Adam"), or the dotted path of one elsewhere.
        momentum: in [0, 1]; 0 for an optimizer that has none.
        weight_decay: as the optimizer means it, 0 or more (SGD and Adam add it to the gradient, AdamW does not).
        optimizer_arguments: its other arguments ({betas: [0.9, 0.99]}), or None.
        schedule: "constant"; "cosine": learning_rate * (1 + cos(pi t / T)) / 2 at unit t of T, from 0; or a class of
            torch.optim.lr_scheduler ("MultiStepLR"), or the dotted path of one elsewhere.
        schedule_arguments: of such a class ({milestones: [80, 120], gamma: 0.1}), counted in units, or None.
        schedule_unit: the learning rate changes once an "epoch" or once a "step".
    """

    length: str
    batch: int
    learning_rate: float
    optimizer: str
    momentum: float
    weight_decay: float
    optimizer_arguments: dict[str, Any] | None
    schedule: str
    schedule_arguments: dict[str, Any] | None
    schedule_unit: str

    def __post_init__(self) -> None:
        Step.parse("length", self.length)
        checks.integer("batch", self.batch, at_least=1)
        checks.positive("learning_rate", self.learning_rate)
        checks.fraction("momentum", self.momentum)
        checks.not_negative("weight_decay", self.weight_decay)
        checks.choice("schedule_unit", self.schedule_unit, ("epoch", "step"))
        self._arguments(self._optimizer())
        if self.optimizer_arguments or "." in self.optimizer:  # else all is checked: torch's first one takes a second
            self.build([torch.nn.Parameter(torch.zeros(1, 1))])
        if self.schedule not in PLAIN:
            self._scheduled(1)
        elif self.schedule_arguments:
            raise ConfigError(f"schedule={self.schedule} has no arguments: set schedule_arguments=null")

    def steps(self, steps_per_epoch: int) -> int:
        """The length in steps."""
        return Step.parse("length", self.length).steps(steps_per_epoch)

    def build(self, parameters: Iterable[torch.nn.Parameter], *, fused: bool = False) -> torch.optim.Optimizer:
        """The optimizer of these parameters.

        Args:
            fused: torch's step in one pass where it has one and nothing else is chosen: faster, with other roundings.

        Raises:
            ConfigError: there is no such optimizer, or it does not take its settings or these parameters.
        """
        kind = self._optimizer()
        arguments = self._arguments(kind)
        if fused and "fused" in inspect.signature(kind).parameters and not IMPLEMENTATIONS & arguments.keys():
            arguments["fused"] = True
        try:
            return kind(parameters, **arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"optimizer={self.optimizer} refuses its settings: {error}") from error

    def _optimizer(self) -> type[torch.optim.Optimizer]:
        return _found("optimizer", self.optimizer, "torch.optim", torch.optim.Optimizer)

    def _arguments(self, kind: type[torch.optim.Optimizer]) -> dict[str, Any]:
        """What the optimizer is made with, but for the parameters."""
        arguments = {"lr": self.learning_rate, **_checked("optimizer", kind, self.optimizer_arguments, OWN)}
        for name, value in (("momentum", self.momentum), ("weight_decay", self.weight_decay)):
            if name in inspect.signature(kind).parameters:
                arguments[name] = value
            elif value:
                raise ConfigError(f"optimizer={self.optimizer} has no {name}: set {name}=0 (got {value})")
        return arguments

    def rates(self, steps_per_epoch: int) -> Callable[[int], float]:
        """The learning rate of every step, from 0."""
        unit = steps_per_epoch if self.schedule_unit == "epoch" else 1
        units = self.steps(steps_per_epoch) / unit
        if self.schedule == "constant":
            return lambda step: self.learning_rate
        if self.schedule == "cosine":
            return lambda step: self._cosine(step // unit, units)
        values = self._scheduled(math.ceil(units))
        return lambda step: values[step // unit]

    def _cosine(self, at: int, units: float) -> float:
        return self.learning_rate * (1 + math.cos(math.pi * at / units)) / 2

    def _scheduled(self, count: int) -> list[float]:
        """What a scheduler of torch gives for so many units: found beforehand, so that it has no state to be kept."""
        kind = _found("schedule", self.schedule, "torch.optim.lr_scheduler", torch.optim.lr_scheduler.LRScheduler)
        arguments = _checked("schedule", kind, self.schedule_arguments, ("optimizer",))
        optimizer = self.build([torch.nn.Parameter(torch.zeros(1, 1))])
        before = {key: value for key, value in optimizer.param_groups[0].items() if key not in ("params", "initial_lr")}
        try:
            scheduler: Any = kind(optimizer, **arguments)
            values = [float(optimizer.param_groups[0]["lr"])]
            while len(values) < count:
                optimizer.step()  # without a gradient nothing moves; a schedule warns where this is left out
                scheduler.step()
                values.append(float(optimizer.param_groups[0]["lr"]))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"schedule={self.schedule} refuses its arguments: {error}") from error
        for key, value in before.items():
            if key != "lr" and optimizer.param_groups[0][key] != value:
                raise ConfigError(
                    f"schedule={self.schedule} changes {key} too, and only learning rates are scheduled: "
                    "add schedule_arguments.cycle_momentum=false"
                )
        return values


def _found(setting: str, name: str, home: str, kind: type) -> Any:
    """The class of this name in the module `home`, or at a dotted path.

    Raises:
        ConfigError: there is none, or it is of another kind or wants more than gradients at its steps.
    """
    module, _, attribute = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    try:
        found = getattr(importlib.import_module(module or home), attribute)
    except (ImportError, AttributeError):
        known = [key for key, value in vars(importlib.import_module(home)).items() if _is_class_of(value, kind)]
        raise ConfigError(
            f"{setting}={name} is no class of {home}, nor the dotted path of one{checks.nearest(str(name), known)}"
        ) from None
    if not _is_class_of(found, kind):
        raise ConfigError(f"{setting}={name} is no {kind.__name__}: choose a class of {home}")
    _, *needed = [p for p in inspect.signature(found.step).parameters.values() if p.default is p.empty]
    if needed:
        raise ConfigError(f"{setting}={name} needs {needed[0].name} at every step: choose another class of {home}")
    return found


def _is_class_of(value: Any, kind: type) -> bool:
    return isinstance(value, type) and issubclass(value, kind) and value is not kind


def _checked(setting: str, kind: Any, arguments: Any, own: tuple[str, ...]) -> dict[str, Any]:
    """The arguments, {} for None.

    Raises:
        ConfigError: one that the class does not take, or that is a setting of its own.
    """
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise ConfigError(f"{setting}_arguments must be names and values, got {arguments!r}")
    known = [name for name in inspect.signature(kind).parameters if name not in own]
    for name in arguments:
        if name not in known:
            raise ConfigError(
                f"{setting}_arguments.{name} is no argument of {kind.__name__}{checks.nearest(name, known)}; "
                f"it has {', '.join(known)}"
            )
    return arguments
