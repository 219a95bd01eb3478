"""Optimizers of torch that have a compiled step, and their memory as vectors over all that is trained."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from lth_runner.training.fast_cpu import kernels


class Rule(Protocol):
    """One optimizer with its settings."""

    @property
    def entries(self) -> tuple[str, ...]:
        """What it remembers of every number, by torch's names."""
        ...

    @property
    def counts(self) -> bool:
        """Whether torch keeps a number of steps with it."""
        ...

    def descend(
        self,
        theta: np.ndarray,
        grad: np.ndarray,
        memory: np.ndarray,
        bounds: np.ndarray,
        steps: np.ndarray,
        rate: float,
    ) -> None:
        """One step in place; memory: (entries, N), steps: (tensors,), this one included."""
        ...


@dataclass(frozen=True, kw_only=True)
class Adam:
    """`torch.optim.Adam`, or AdamW, which is decoupled."""

    beta1: float
    beta2: float
    epsilon: float
    decay: float
    decoupled: bool

    @property
    def entries(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    @property
    def counts(self) -> bool:
        return True

    def descend(
        self,
        theta: np.ndarray,
        grad: np.ndarray,
        memory: np.ndarray,
        bounds: np.ndarray,
        steps: np.ndarray,
        rate: float,
    ) -> None:
        settings = (self.beta1, self.beta2, self.epsilon, self.decay, self.decoupled)
        kernels.adam(theta, grad, memory[0], memory[1], bounds, steps, rate, *settings)


@dataclass(frozen=True, kw_only=True)
class SGD:
    """`torch.optim.SGD`."""

    momentum: float
    decay: float
    nesterov: bool

    @property
    def entries(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    @property
    def counts(self) -> bool:
        return False

    def descend(
        self,
        theta: np.ndarray,
        grad: np.ndarray,
        memory: np.ndarray,
        bounds: np.ndarray,
        steps: np.ndarray,
        rate: float,
    ) -> None:
        del bounds, steps
        kernels.sgd(theta, grad, memory.reshape(-1), rate, self.momentum, self.decay, self.nesterov)


PLAIN = {"amsgrad": False, "maximize": False, "capturable": False, "differentiable": False, "dampening": 0}


def rule_of(optimizer: torch.optim.Optimizer) -> Rule | None:
    """The optimizer's rule; None for another kind or a variant of it."""
    group: dict[str, Any] = optimizer.param_groups[0]
    if len(optimizer.param_groups) > 1 or any(group.get(key, value) != value for key, value in PLAIN.items()):
        return None
    if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW):
        return Adam(
            beta1=float(group["betas"][0]),
            beta2=float(group["betas"][1]),
            epsilon=float(group["eps"]),
            decay=float(group["weight_decay"]),
            decoupled=bool(group["decoupled_weight_decay"]),
        )
    if type(optimizer) is torch.optim.SGD:
        decay, momentum = float(group["weight_decay"]), float(group["momentum"])
        return SGD(momentum=momentum, decay=decay, nesterov=bool(group["nesterov"]))
    return None
