"""Every method with the sizes of a test, where it is at home, and the tickets that it has found."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from small_networks import Small, dataset, target

import lth_runner as lth
from lth_runner.config.compose import choices, composed, method_of
from lth_runner.core.streams import Streams
from lth_runner.problem import Method, Problem
from lth_runner.ticket.ticket import Ticket

# Methods with other settings than those of their files, which make tickets of another kind.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "subset_sum, centred": ("subset_sum", {"centred": True, "match": "tensor"}),
    "subset_sum, signs": ("subset_sum", {"mask": "signs", "match": "row"}),
    "subset_sum, signed": ("subset_sum", {"mask": "signed", "n": 7, "match": "group", "compensate": "inputs"}),
    "pensia, matched": ("pensia", {"n": 14, "signs": "as_drawn", "gains": "matched", "compensate": "inputs"}),
    "pensia, sigmoid": ("pensia", {"n": 14, "activation": "sigmoid", "scale": 0.01, "compensate": "inputs"}),
    "burkholz, gelu": ("burkholz", {"n": 6, "activation": "gelu", "scale": 1e-4}),
    "burkholz, matched": ("burkholz", {"n": 10, "first_n": 20, "gains": "matched"}),
}
METHODS = [*choices("method"), *VARIANTS]
TRUST = ["small_networks"]

# Sizes for tiny networks, for every method that has such a setting; the others keep the defaults of their files.
TINY: dict[str, Any] = {"n": 12, "epsilon": 0.05, "epochs": 2, "batch": 16, "validation": 8, "period": 1}
TINY |= {"training": {"length": "2ep", "batch": 16}}
TINY |= {"transfer": {"length": "2ep", "batch": 8}, "renew_every": 2, "measured": 7}
OWN: dict[str, dict[str, Any]] = {
    "attention": {"n": 20},
    "binary": {"bits": 5},
    "block": {"n": 12, "block": 3},
    "burkholz": {"n": 6},
    "greedy_selection": {"density": 0.5, "images": 20},
    "malach": {"n": 60},
    "malach_pairs": {"n": 60},
    "pensia": {"n": 14, "signs": "as_drawn"},
    "seedlm": {"register": 12},
}

# The network of a method that does not support the smallest one, or is for others.
HOMES = {"early_bird": "resnet", "burkholz, matched": "resnet", "early_bert": "vit", "attention": "vit"}


@functools.cache
def tiny(name: str) -> Any:
    """The method with the defaults of its file and the sizes of a test."""
    name, changes = VARIANTS.get(name, (name, {}))
    known = composed(["~data", "~network", "~target", f"method={name}"])["method"]
    wanted = {**TINY, **(changes or OWN.get(name, {}))}
    return method_of(name, {key: value for key, value in wanted.items() if key in known})


def problem(small: Small, seed: int = 0, **changes: Any) -> Problem:
    whole = Problem(
        network=small.make(), target=target(small), data=dataset(small), streams=Streams(seed), device="cpu"
    )
    return replace(whole, **changes)


@dataclass(frozen=True)
class Case:
    """A ticket that a method has found with the library, on one network."""

    method: Method
    small: Small
    found: Any
    path: Path

    @property
    def ticket(self) -> Ticket:
        return self.found.ticket.ticket

    @property
    def module(self) -> torch.nn.Module | None:
        """What stands for a network in memory when its ticket is read."""
        network = self.small.make()
        return network.module() if not self.small.importable else None

    def verified(self, path: Path | None = None, **changes: Any) -> Any:
        wanted = {"target": target(self.small), "data": dataset(self.small), **changes}
        return lth.verify(path or self.path, trust=TRUST, module=self.module, **wanted)


def home(method: str) -> str:
    """The smallest network that a method supports."""
    return HOMES.get(method, "fc")
