"""What a search works on: the random network of an architecture, and what is given about it beforehand."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.interface import Distribution
from lth_runner.networks.interface import (
    Architecture,
    below,
    filled,
    parameter_shapes,
    skeleton,
    state_shapes,
    tensors_of,
)
from lth_runner.networks.layers import BATCH_NORMS
from lth_runner.problem import not_taken
from lth_runner.search.initial import drawn, recipes
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn, Source, Stored

INITIAL = "initial"  # origin of what starts as the module made it, or a norm at 1 and 0
BIASES = ("zero", "scored", "target")
NORMS: Any = (
    torch.nn.modules.batchnorm._NormBase, torch.nn.LayerNorm, torch.nn.GroupNorm, torch.nn.RMSNorm,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A random network, and what is given about it.

    Attributes:
        architecture: of the network.
        weights: a source for every parameter and persistent buffer. What is drawn gets scores, unless its mask is
            given. Batch norms whose running mean is stored as initial gather their statistics during the search.
        given: masks that are not searched, by names of drawn weights.
        gains: by names of drawn weights: what a weight is multiplied with while the scores are trained, so that signals
            keep their size in a network drawn from any law. The ticket is of the weights as drawn: without biases its
            network is that of the search up to one positive factor, so their decisions are equal.
    """

    architecture: Architecture
    weights: Mapping[str, Source]
    given: Mapping[str, Mask] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)

    @property
    def drawn(self) -> dict[str, Drawn]:
        """The recipes of what is random."""
        return {name: source for name, source in self.weights.items() if isinstance(source, Drawn)}

    @property
    def scored(self) -> list[str]:
        """The names of the weights that get scores."""
        return [name for name in self.drawn if name not in self.given]

    def module(self, seed: int) -> torch.nn.Module:
        """The random network as it is redrawn from a ticket, given masks applied, times the gains.

        It is in evaluation mode but for the batch norms that gather statistics. Of several numbers that a weight can be
        it has the first.
        """
        axes = {name: len(shape) for name, shape in state_shapes(self.architecture).items()}
        arrays = {name: self._array(name, seed) for name in self.weights}
        arrays = {name: array[..., 0] if array.ndim > axes[name] else array for name, array in arrays.items()}
        module = filled(self.architecture, arrays)
        for path, norm in module.named_modules():
            if isinstance(norm, BATCH_NORMS) and norm.running_mean is not None:
                source = self.weights[f"{path}.running_mean" if path else "running_mean"]
                norm.train(isinstance(source, Stored) and source.origin == INITIAL)
        return module

    def numbers(self, seed: int) -> dict[str, torch.Tensor]:
        """What the scored weights can be, by name, float32; empty where each has one number alone."""
        axes = {name: len(shape) for name, shape in state_shapes(self.architecture).items()}
        several = {name: self.drawn[name] for name in self.scored if len(self.drawn[name].shape) > axes[name]}
        return drawn(several, seed)

    def key(self) -> str:
        """All of it as text."""
        parts = {
            "given": {name: hashlib.sha256(mask.bits.tobytes()).hexdigest() for name, mask in self.given.items()},
            "stored": {
                name: [source.origin, hashlib.sha256(np.ascontiguousarray(source.array).data).hexdigest()]
                for name, source in self.weights.items()
                if isinstance(source, Stored)
            },
            "gains": dict(self.gains),
        }
        return f"{self.architecture!r} {self.drawn!r} {json.dumps(parts, sort_keys=True)}"

    def _array(self, name: str, seed: int) -> np.ndarray:
        source = self.weights[name]
        if isinstance(source, Stored):
            return source.array
        array = source.draw(seed) * self.gains.get(name, 1.0)
        return array * self.given[name].dense() if name in self.given else array


def random_space(
    network: Architecture,
    law: Distribution,
    target: Mapping[str, np.ndarray] | None,
    *,
    frozen: Sequence[str],
    biases: str,
    seed: int,
    numbers: int | None = None,
) -> SearchSpace:
    """A network whose parameters of two axes or more are random, with what stands beside them.

    Norms start at weight 1, bias 0 and no statistics; other parameters of one axis, and buffers, are as the module
    makes them, from a stream of the seed if they are random.

    Args:
        law: of the random weights.
        target: tensors of the target network, for what is taken from it.
        frozen: paths of layers or blocks that are the target's, with all that lies below them.
        biases: "zero": they are 0 and stay; "scored": drawn, with the fan of their layer, and pruned like weights;
            "target": the target's. Biases of norms are none of these.
        numbers: that each random weight can be, along one axis more; None: one, without such an axis.

    Raises:
        ConfigError: a layer that is not there, or no target to take it from; weights that are not float32.
    """
    checks.choice("biases", biases, BIASES)
    check_types(network)
    shapes, own_biases = state_shapes(network), _biases(skeleton(network))
    taken = taken_names(network, frozen, biases)
    scored = [
        name
        for name, shape in parameter_shapes(network).items()
        if name not in taken and (len(shape) >= 2 or (biases == "scored" and name in own_biases))
    ]
    random, initial = recipes(network, law, scored, "weights", numbers), initial_tensors(network, seed)
    weights: dict[str, Source] = {}
    for name, shape in shapes.items():
        if name in taken:
            weights[name] = _of_target(name, shape, target or {})
        elif name in random:
            weights[name] = random[name]
        elif name in own_biases:
            weights[name] = replace(initial[name], array=np.zeros_like(initial[name].array))
        else:
            weights[name] = initial[name]
    return SearchSpace(architecture=network, weights=weights)


def check_types(network: Architecture) -> None:
    """Refuses a network whose scores could not be trained.

    Raises:
        ConfigError: a parameter is of another type than float32.
    """
    for name, parameter in skeleton(network).named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise ConfigError(f"{name} is {kind} and scores are trained in float32: give the network in float32")


def taken_names(network: Architecture, frozen: Sequence[str], biases: str) -> set[str]:
    """The names of the tensors that are the target's; see `random_space`."""
    return below(network, frozen) | (_biases(skeleton(network)) if biases == "target" else set())


def _of_target(name: str, shape: tuple[int, ...], target: Mapping[str, np.ndarray]) -> Stored:
    if name not in target or target[name].shape != shape:
        raise ConfigError(not_taken(name))
    array = target[name]
    return Stored(array=array.astype(np.float32) if array.dtype.kind == "f" else array, origin="target")


def _biases(module: torch.nn.Module) -> set[str]:
    """Names of the biases of all layers that are no norms."""
    return {
        name
        for path, part in module.named_modules()
        if not isinstance(part, NORMS)
        for name, parameter in part.named_parameters(path, recurse=False)
        if parameter.ndim < 2 and "bias" in name.rpartition(".")[2]
    }


def initial_tensors(network: Architecture, seed: int) -> dict[str, Stored]:
    """What the module holds when it is made, norms without statistics and at weight 1 and bias 0.

    What its builder draws at random comes from a stream of the seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(seed).torch_seed("initial"))
        module = network.module()
    norms: list[Any] = [part for part in module.modules() if isinstance(part, NORMS)]
    for norm in norms:
        norm.reset_parameters()
    tensors = tensors_of(module)
    return {name: Stored(array=tensor.detach().numpy(), origin=INITIAL) for name, tensor in tensors.items()}


def norm_parameters(network: Architecture) -> set[str]:
    """The names of all parameters of norms."""
    norms = {path: part for path, part in skeleton(network).named_modules() if isinstance(part, NORMS)}
    return {name for path, part in norms.items() for name, _ in part.named_parameters(path, recurse=False)}
