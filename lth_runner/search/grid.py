"""Training the scores of several masked networks together, by tensor operations alone: one captured graph on a GPU.

One such network leaves a GPU idle. R of them, stacked along a leading axis, share every kernel launch, and since no
operation waits for the device the whole step is captured once and replayed.
"""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.networks.redundant import fold
from lth_runner.search.masked import MaskedConv2d, MaskedLayer, MaskedRedundant, masked_layers, masked_weights
from lth_runner.search.top_fraction import magnitude_keys, row_keys, row_masks

SHAPES = 256  # that one function may be compiled for: every weight of every grid of a process has its own
WARM_UP = 3  # steps before a capture, so that libraries and compiled kernels are loaded


class ScoreGrid:
    """SGD with momentum and weight decay on the scores of R networks, as `ScoreTraining` does for one.

    The networks have one architecture, one scope, and equal biases and unmasked layers; masked weights, scores and
    densities are their own. They see the same batches. On the CPU the same functions run without capture, much slower
    than `ScoreTraining`: that is for tests.

    Attributes:
        scores, velocity: (R, N), the whole state; columns as in `ScoreTraining`.
    """

    def __init__(
        self, networks: Sequence[torch.nn.Module], momentum: float, weight_decay: float, device: str, compiled: bool
    ) -> None:
        self.network = copy.deepcopy(networks[0]).to(device)  # layers of this one hold the matrices of all
        self._layers = masked_layers(self.network)
        if not self._layers or any(isinstance(layer, MaskedConv2d) for layer in self._layers):
            raise ConfigError("a grid trains masked linear layers: train networks with masked convolutions one by one")
        if any(not _equal_outside_masks(network, networks[0]) for network in networks):
            raise ConfigError("the networks of a grid must have equal biases and unmasked layers: train others apart")
        runs = [list(masked_weights(network).values()) for network in networks]
        self.scores = torch.stack([torch.cat([w.scores.detach().flatten() for w in run]) for run in runs]).to(device)
        self._weights = torch.stack([torch.cat([w.weight.flatten() for w in run]) for run in runs]).to(device)
        self.velocity = torch.zeros_like(self.scores)
        self._momentum, self._weight_decay = momentum, weight_decay
        self._rate = torch.zeros((), device=device)
        shapes = [weight.scores.shape for weight in runs[0]]
        self._columns = _columns([shape.numel() for shape in shapes])
        self._effective = [torch.zeros(len(runs), *shape, device=device, requires_grad=True) for shape in shapes]
        self._groups = _groups(networks, self._columns, device)
        prepare: Callable = _compile if compiled else lambda function: function
        self._fold, self._descend, self._select = (prepare(function) for function in (fold, _descend_, _select_))
        self._graphs: dict[int, _Graph] = {}
        self.refresh()

    def step(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """One SGD step of every run on one batch; gives the mean of the losses before it."""
        return self.losses(images, labels, rate).mean()

    def losses(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """The same step; gives every run's loss before it, (R,)."""
        self._rate.fill_(rate)
        if not self.scores.is_cuda:
            return self._step(images, labels)
        if len(images) not in self._graphs:
            self._graphs[len(images)] = _Graph(self, images, labels)
        return self._graphs[len(images)].replay(images, labels)

    def end_epoch(self, epoch: int) -> None:
        """Nothing: a mask has its density from the first step on."""

    def accuracies(self, images: torch.Tensor, labels: torch.Tensor, batch: int) -> list[float]:
        """Of each run's pruned network."""
        right = torch.zeros(len(self.scores), dtype=torch.int64, device=images.device)
        for block, truth in zip(images.split(batch), labels.split(batch), strict=True):
            right += (self.outputs(block).argmax(dim=2) == truth).sum(dim=1)
        return [int(count) / len(labels) for count in right]

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """What each run's network says of the images: (R, B, classes)."""
        with torch.no_grad():
            self._hold()
            return self.network(images)

    def masks(self, run: int) -> dict[str, torch.Tensor]:
        """The masks of one run by weight name, True = kept: copies."""
        found = torch.zeros_like(self.scores, dtype=torch.bool)
        for columns, kept in self._groups:
            keys = magnitude_keys(self.scores[:, columns])
            found[:, columns] = row_masks(keys, row_keys(keys, kept), kept)
        names = masked_weights(self.network)
        parts = zip(names.items(), self._columns, strict=True)
        return {name: found[run, columns].reshape(weight.scores.shape) for (name, weight), columns in parts}

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return {"scores": self.scores, "velocity": self.velocity}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from a checkpoint."""
        self.scores.copy_(state["scores"])
        self.velocity.copy_(state["velocity"])
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Settles the masked weights after `scores` was changed."""
        masked = torch.empty_like(self.scores)
        for columns, kept in self._groups:
            masked[:, columns] = self._select(self.scores[:, columns], self._weights[:, columns], kept)
        for effective, columns in zip(self._effective, self._columns, strict=True):
            effective.copy_(masked[:, columns].view_as(effective))

    def _hold(self) -> None:
        parts = iter(self._effective)
        for layer in self._layers:
            layer.held = self._held(layer, parts)

    def _held(self, layer: MaskedLayer, parts: Iterator[torch.Tensor]) -> torch.Tensor:
        if isinstance(layer, MaskedRedundant):
            return self._fold(next(parts), next(parts), layer.relu)
        return next(parts)

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self._hold()
        logits = self.network(images)  # (R, B, classes)
        runs, batch, _ = logits.shape
        losses = cross_entropy(logits.flatten(0, 1), labels.repeat(runs), reduction="none").view(runs, batch).mean(1)
        gradients = torch.autograd.grad(losses.sum(), self._effective)
        with torch.no_grad():
            for gradient, columns in zip(gradients, self._columns, strict=True):
                state = (self.scores[:, columns], self.velocity[:, columns], self._weights[:, columns])
                self._descend(*state, gradient.flatten(1), self._rate, self._momentum, self._weight_decay)
        self.refresh()
        return losses.detach()


def _descend_(
    score: torch.Tensor,
    velocity: torch.Tensor,
    weight: torch.Tensor,
    gradient: torch.Tensor,
    rate: torch.Tensor,
    momentum: float,
    weight_decay: float,
) -> None:
    velocity.mul_(momentum).add_(gradient * weight * score.sign() + weight_decay * score)
    score.sub_(rate * velocity)


def _select_(scores: torch.Tensor, weights: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    keys = magnitude_keys(scores)
    return torch.where(row_masks(keys, row_keys(keys, kept), kept), weights, 0.0)


def _compile(function: Callable) -> Callable:
    """The function compiled for every shape it meets: torch gives up after 8 and would go on uncompiled, silently."""
    compiled = torch.compile(function, dynamic=False)

    def call(*arguments: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=SHAPES):
            return compiled(*arguments)

    return call


def _columns(sizes: Sequence[int]) -> list[slice]:
    edges = itertools.accumulate(sizes, initial=0)
    return [slice(*pair) for pair in itertools.pairwise(edges)]


def _groups(
    networks: Sequence[torch.nn.Module], columns: Sequence[slice], device: str
) -> list[tuple[slice, torch.Tensor]]:
    """For every group of competing scores: its columns, and how many each run keeps there, (R,) int32."""
    found: dict[tuple[int, int], list[int]] = {}
    for network in networks:
        weights = list(masked_weights(network).values())
        for group in dict.fromkeys(weight.group for weight in weights):
            assert group is not None, "a masked weight belongs to a group of masked()"
            first, last = weights.index(group.weights[0]), weights.index(group.weights[-1])
            found.setdefault((columns[first].start, columns[last].stop), []).append(group.kept())
    if any(len(kept) != len(networks) for kept in found.values()):
        raise ConfigError("the networks of a grid must have one scope: train those of another scope in another grid")
    return [(slice(*edges), torch.tensor(kept, dtype=torch.int32, device=device)) for edges, kept in found.items()]


def _equal_outside_masks(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    masked = tuple(f"{name}." if name else "" for name in masked_weights(one))
    states = ({k: v for k, v in net.state_dict().items() if not k.startswith(masked)} for net in (one, other))
    first, second = states
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


class _Graph:
    """The step for one batch size, captured: replayed on what its own input tensors hold."""

    def __init__(self, grid: ScoreGrid, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images.clone(), labels.clone()
        before = {name: tensor.clone() for name, tensor in grid.state().items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                grid._step(self.images, self.labels)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.losses = grid._step(self.images, self.labels)
        grid.load(before)  # the warm-up moved the scores

    def replay(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.losses.clone()
