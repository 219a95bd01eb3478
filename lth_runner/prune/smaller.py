"""Training a ticket whose masks empty whole units as the smaller network that is left without them."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from lth_runner.data.interface import Inputs, select
from lth_runner.networks.interface import Architecture
from lth_runner.prune.channels import channels
from lth_runner.prune.compact import NORMS, compacted, kept_units
from lth_runner.prune.transformer_units import heads, hidden_neurons
from lth_runner.ticket.mask import Mask
from lth_runner.training.fast_cpu.layers import linear_layers
from lth_runner.training.recipe import Recipe
from lth_runner.training.state import State

# Largest share of the parameters left with which a step is faster for it: scripts/bench_imp.py has times.
LEFT = 0.75
# Optimizers of torch whose step changes every number by its own gradient and memory alone.
ELEMENTWISE = (
    "SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Rprop",
)  # fmt: skip
DROPOUT = torch.nn.modules.dropout._DropoutNd  # has no public name
COMPARED, TOLERANCE = 8, 1e-3  # samples on which both networks must agree, and how far apart they may be

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor of the smaller network stands in the whole one: a tensor's name, and its flat entries there."""

    tensor: str
    entries: torch.Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Smaller:
    """A network without its empty units, and where its numbers stand in the whole network.

    Attributes:
        module: to be trained, with the whole module's numbers.
        parameters: by name in the smaller network.
        buffers: the same.
        momentum: of the running statistics of the whole network, by name of the buffer.
        share: its parameters / those of the whole network.
    """

    module: torch.nn.Module
    parameters: Mapping[str, Place]
    buffers: Mapping[str, Place]
    momentum: Mapping[str, float]
    share: float

    def masks(self, masks: Tensors) -> dict[str, torch.Tensor]:
        """What masks of the whole network, in the shapes of its tensors, are on this one."""
        return _taken(masks, {name: place for name, place in self.parameters.items() if place.tensor in masks})

    def state(self, whole: State) -> State:
        """What a state of the whole network is on this one."""
        names = {place.tensor: name for name, place in self.parameters.items()}
        optimizer = {}
        for key, tensor in whole.optimizer.items():
            entry, _, name = key.partition("/")
            place = self.parameters[names[name]]
            per_weight = tensor.shape == whole.parameters[name].shape
            optimizer[f"{entry}/{names[name]}"] = tensor.flatten()[place.entries] if per_weight else tensor
        parameters, buffers = _taken(whole.parameters, self.parameters), _taken(whole.buffers, self.buffers)
        return replace(whole, parameters=parameters, buffers=buffers, optimizer=optimizer)

    def whole(self, end: State, start: State) -> State:
        """The state of the masked training of the whole network that began at `start`, where this one's is `end`.

        Weights of empty units are 0, as is what an optimizer remembers of them; a norm sees zeros of them at every
        step, so that its statistics shrink as they do in the masked network.
        """
        zeros = {name: torch.zeros_like(tensor) for name, tensor in start.parameters.items()}
        shrunk = {
            name: tensor * (1 - self.momentum[name]) ** (end.step - start.step) if name in self.momentum else tensor
            for name, tensor in start.buffers.items()
        }
        optimizer = {}
        for key, tensor in end.optimizer.items():
            entry, _, name = key.partition("/")
            place = self.parameters[name]
            per_weight = tensor.shape == end.parameters[name].shape
            optimizer[f"{entry}/{place.tensor}"] = _put(zeros[place.tensor], place, tensor) if per_weight else tensor
        parameters, buffers = (
            _all_put(zeros, self.parameters, end.parameters),
            _all_put(shrunk, self.buffers, end.buffers),
        )
        return replace(end, parameters=parameters, buffers=buffers, optimizer=optimizer)


def smaller(
    architecture: Architecture, module: torch.nn.Module, masks: Tensors, recipe: Recipe, inputs: Inputs
) -> Smaller | None:
    """The network that a masked training can be done on: the same numbers up to the rounding of sums.

    A unit is empty where all of it is masked: a channel whose norm keeps its bias, say, still gives that and stays.
    None where no mask reaches a bias or norm, since masks of single weights empty no units; for fully connected ReLU
    networks, whose steps skip pruned weights anyway; where more than `LEFT` of the parameters are left; and where the
    numbers would be others: optimizers that mix the weights of a tensor, dropout, whose draws depend on widths, norms
    that average over all steps, tied weights, and modules that compute something else without the units.

    Args:
        module: the whole network, on the device of the inputs; stays as it is.
        masks: bool by name of a parameter, in its shape.
        inputs: some of those that it is trained on.
    """
    reach = any(mask.ndim == 1 and not mask.all() for mask in masks.values())
    if not reach or linear_layers(module) or recipe.optimizer not in ELEMENTWISE or _depends_on_widths(module):
        return None
    parameters = dict(module.named_parameters())
    groups = {**channels(architecture), **heads(architecture), **hidden_neurons(architecture)}
    dense = {name: masks.get(name, torch.ones(p.shape, dtype=torch.bool)) for name, p in parameters.items()}
    kept = kept_units(groups, {name: Mask.pack(mask.numpy()) for name, mask in dense.items()})
    module = copy.deepcopy(module)
    with torch.no_grad():
        for name, mask in masks.items():
            module.get_parameter(name).mul_(mask.to(module.get_parameter(name).device))
    found = compacted(module, groups, kept)
    share = sum(p.numel() for p in found.parameters()) / sum(p.numel() for p in parameters.values())
    if share > LEFT or not _agree(module, found, select(inputs, slice(COMPARED))):
        return None
    numbered, names = _numbered(module)
    cut = compacted(numbered, groups, kept)
    return Smaller(
        module=found,
        parameters={name: _place(tensor, names) for name, tensor in cut.named_parameters()},
        buffers={name: _place(tensor, names) for name, tensor in cut.named_buffers()},
        momentum=_momentum(module),
        share=share,
    )


def _momentum(module: torch.nn.Module) -> dict[str, float]:
    """Of the norms' running statistics, by name of the buffer."""
    norms: list[tuple[str, Any]] = [(path, part) for path, part in module.named_modules() if isinstance(part, NORMS)]
    return {f"{path}.{name}": norm.momentum for path, norm in norms for name in ("running_mean", "running_var")}


def _depends_on_widths(module: torch.nn.Module) -> bool:
    """Whether it has parts that give other numbers where other units are cut out, or tied weights."""
    parts: list[Any] = list(module.modules())
    return (
        any(part.p > 0 for part in parts if isinstance(part, DROPOUT))
        or any(part.dropout > 0 for part in parts if isinstance(part, torch.nn.MultiheadAttention))
        or any(part.momentum is None for part in parts if isinstance(part, NORMS))
        or len(list(module.named_parameters(remove_duplicate=False))) > len(list(module.parameters()))
    )


@torch.no_grad()
def _agree(one: torch.nn.Module, other: torch.nn.Module, inputs: Inputs) -> bool:
    """Whether both give the same, up to rounding; they are in training mode afterwards."""
    try:
        expected, got = one.eval()(inputs), other.eval()(inputs)
    except Exception:  # a stranger's forward pass can raise anything when its layers have other widths
        return False
    finally:
        other.train()
    return got.shape == expected.shape and bool((got - expected).abs().max() <= TOLERANCE * (1 + expected.abs().max()))


@torch.no_grad()
def _numbered(module: torch.nn.Module) -> tuple[torch.nn.Module, list[tuple[int, str]]]:
    """A copy whose tensors hold the numbers of their entries, all tensors in a row, and where each tensor begins."""
    numbered, begins, begin = copy.deepcopy(module).cpu(), [], 0
    for name, tensor in [*numbered.named_parameters(), *numbered.named_buffers()]:
        begins.append((begin, name))
        end = begin + tensor.numel()
        tensor.data = torch.arange(begin, end, dtype=torch.float64).reshape(tensor.shape)
        begin = end
    return numbered, begins


def _place(numbers: torch.Tensor, begins: list[tuple[int, str]]) -> Place:
    first = int(numbers.flatten()[0])
    begin, name = max(pair for pair in begins if pair[0] <= first)
    return Place(tensor=name, entries=numbers.detach().long() - begin)


def _taken(tensors: Tensors, places: Mapping[str, Place]) -> dict[str, torch.Tensor]:
    return {name: tensors[place.tensor].flatten()[place.entries] for name, place in places.items()}


def _put(whole: torch.Tensor, place: Place, tensor: torch.Tensor) -> torch.Tensor:
    """A copy with these entries."""
    flat = whole.flatten().clone()
    flat[place.entries.flatten()] = tensor.flatten()
    return flat.reshape(whole.shape)


def _all_put(wholes: Tensors, places: Mapping[str, Place], tensors: Tensors) -> dict[str, torch.Tensor]:
    found = dict(wholes)
    for name, place in places.items():
        found[place.tensor] = _put(wholes[place.tensor], place, tensors[name])
    return found
