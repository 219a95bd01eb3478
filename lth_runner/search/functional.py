"""Training the scores of any module: its weights are passed to it by `functional_call`, the module stays unchanged."""

from collections.abc import Mapping, Sequence

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.data.interface import Inputs, named
from lth_runner.networks.interface import tensors_of
from lth_runner.search.captured import CapturedStep
from lth_runner.search.folded import folded
from lth_runner.search.rule import Rule
from lth_runner.search.scored import ScoredNetwork, views
from lth_runner.search.together import for_each_run
from lth_runner.search.trainer import BUFFER, evaluated, fractions_right, gathered

Tensors = dict[str, torch.Tensor]


class FunctionalTraining:
    """SGD with momentum and decay on the scores of R networks, on any device.

    The networks have one architecture, one scope, and equal tensors beside those with scores; weights with scores, the
    scores and the densities are their own. They see the same batches, and share every operation by `vmap`; one alone is
    called as it is. On a GPU the step is captured once for each batch size and replayed, since nothing in it waits for
    the device.

    Dropout is off. Batch norms of a module that are in training mode normalise by the batch and gather statistics, of
    each network its own.

    Attributes:
        module: the copy that is called.
        scores, velocity: (R, N), over all weights with scores in the order of the module's parameters.
        active: (R, N) bool, what the rule has not pruned for good. Inactive scores are 0.
    """

    def __init__(self, networks: Sequence[ScoredNetwork], rule: Rule, device: str) -> None:
        self._first = networks[0]
        self._rule = rule
        if any(not _equal_beside_scores(network, self._first) for network in networks):
            raise ConfigError("networks trained together have equal biases and whole layers: train others apart")
        self.module = folded(self._first.module).to(device)
        self.scores = torch.stack([network.flat_scores() for network in networks]).to(device)
        _check_range(self.scores, rule)
        self.velocity = torch.zeros_like(self.scores)
        self.active = torch.ones_like(self.scores, dtype=torch.bool)
        self._drawn = torch.stack([network.flat_weights() for network in networks]).to(device)
        self._change = rule.change(networks, device)
        self._offered = self._drawn.clone()  # 0 where inactive
        self._statistics = {name: torch.stack([b] * len(networks)) for name, b in gathered(self.module).items()}
        self._rate = torch.zeros((), device=device)
        self._leaves = {
            name: torch.zeros(len(networks), *shape, device=device, requires_grad=True)
            for name, shape in self._first.shapes().items()
        }
        self._groups = _groups(networks, device)
        self._captured: dict[tuple[tuple[str, torch.Size], ...], CapturedStep] = {}
        self._finish()

    def step(self, inputs: Inputs, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """One SGD step of every run on one batch; gives the mean of the losses before it, without decay."""
        return self.losses(inputs, labels, rate).mean()

    def losses(self, inputs: Inputs, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """The same step; gives every run's loss before it, (R,)."""
        self._rate.fill_(rate)
        captured = self._captured_for(inputs, labels) if self.scores.is_cuda else None
        if self._change is not None and self._change.before_step(self._masks):
            self._changed()
        return self._step(inputs, labels) if captured is None else captured.replay(inputs, labels)

    def end_epoch(self, epoch: int) -> None:
        """Takes out what the rule prunes for good."""
        for columns, densities, _ in self._groups:
            for run, density in enumerate(densities):
                active = self.active[run, columns]
                active.copy_(self._rule.end_epoch(epoch, self.scores[run, columns].cpu(), active.cpu(), density))
        for state in (self.scores, self.velocity):
            state.masked_fill_(~self.active, 0)
        self._finish()

    def accuracies(self, inputs: Inputs, labels: torch.Tensor, batch: int) -> list[float]:
        """Of each run's pruned network."""
        return fractions_right(self.outputs, inputs, labels, batch)

    @torch.no_grad()
    def outputs(self, inputs: Inputs) -> torch.Tensor:
        """What each run's network says of the inputs: (R, B, classes)."""
        with evaluated(self.module):
            return for_each_run(lambda own: functional_call(self.module, own, (inputs,)), self._tensors)

    def masks(self, run: int = 0) -> Tensors:
        """The masks of one run by weight name, True = kept: copies."""
        masks = self._masks()
        return views((masks if self._change is None else self._change.chosen(masks))[run].clone(), self._first)

    def statistics(self, run: int = 0) -> Tensors:
        """What the batch norms of one run gathered, by buffer name: copies."""
        return {name: stacked[run].clone() for name, stacked in self._statistics.items()}

    def state(self) -> Tensors:
        """What a checkpoint keeps."""
        own = {"scores": self.scores, "velocity": self.velocity, "active": self.active}
        own |= {} if self._change is None else self._change.state()
        return own | {BUFFER + name: stacked for name, stacked in self._statistics.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from a checkpoint."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self._finish()

    @torch.no_grad()
    def refresh(self) -> None:
        """Brings what the networks use up to date after `scores` was changed."""
        masks = self._masks()
        for name, columns in self._first.columns.items():
            used = self._rule.effective(self._weights[:, columns], masks[:, columns])
            self._leaves[name].copy_(used.view_as(self._leaves[name]))

    def _masks(self) -> torch.Tensor:
        noise = None if self._change is None else self._change.noise
        scores = self.scores if noise is None else self.scores + noise
        found = [self._rule.mask(scores[:, at], self.active[:, at], kept) for at, _, kept in self._groups]
        return torch.cat(found, dim=1)

    @property
    def _weights(self) -> torch.Tensor:
        """(R, N): those drawn, or what a change has put in their place."""
        changed = None if self._change is None else self._change.weights
        return self._drawn if changed is None else changed

    def _finish(self) -> None:
        if self._change is not None:
            self._change.finish()
        self._changed()

    def _changed(self) -> None:
        self._offered.copy_(torch.where(self.active, self._weights, 0.0))
        self.refresh()

    def _captured_for(self, inputs: Inputs, labels: torch.Tensor) -> CapturedStep:
        """The step for batches of this shape; what capturing it moves is put back."""
        shapes = tuple((name, tensor.shape) for name, tensor in named(inputs))
        if shapes not in self._captured:
            self._captured[shapes] = CapturedStep(self._step, self.state, self.load, inputs, labels)
        return self._captured[shapes]

    @property
    def _tensors(self) -> Tensors:
        """What each network has of its own, (R, ...)."""
        return {**self._leaves, **self._statistics}

    def _step(self, inputs: Inputs, labels: torch.Tensor) -> torch.Tensor:
        losses = for_each_run(
            lambda own: cross_entropy(functional_call(self.module, own, (inputs,)), labels), self._tensors
        )  # (R,)
        leaves = list(self._leaves.values())
        gradients = torch.autograd.grad(losses.sum(), leaves, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for gradient, columns in zip(gradients, self._first.columns.values(), strict=True):
                self._descend_(gradient.flatten(1), columns)
        self.refresh()
        return losses.detach()

    def _descend_(self, gradient: torch.Tensor, columns: slice) -> None:
        score, velocity = self.scores[:, columns], self.velocity[:, columns]
        slope = self._rule.score_gradient(gradient, self._offered[:, columns], score)
        velocity.mul_(self._rule.momentum).add_(slope + self._rule.decay() * score)
        score.sub_(self._rate * velocity)
        if self._rule.score_range is not None:
            score.clamp_(*self._rule.score_range)


def _check_range(scores: torch.Tensor, rule: Rule) -> None:
    if rule.score_range is None:
        return
    low, high = rule.score_range
    if bool(((scores < low) | (scores > high)).any()):
        raise ConfigError(
            f"first scores that are rounded lie in [{low:g}, {high:g}]: set method/distribution@method.scores=uniform"
        )


def _groups(networks: Sequence[ScoredNetwork], device: str) -> list[tuple[slice, list[float], torch.Tensor]]:
    """For every group of competing scores: its columns, each run's density, and how many each keeps, (R,) int32."""
    if any(
        [group.columns for group in network.groups] != [group.columns for group in networks[0].groups]
        for network in networks
    ):
        raise ConfigError("networks trained together have one scope: train those of another scope apart")
    return [
        (
            groups[0].columns,
            [group.density for group in groups],
            torch.tensor([group.kept() for group in groups], dtype=torch.int32, device=device),
        )
        for groups in zip(*(network.groups for network in networks), strict=True)
    ]


def _equal_beside_scores(one: ScoredNetwork, other: ScoredNetwork) -> bool:
    if one.module is other.module:
        return True
    first, second = (
        {name: tensor for name, tensor in tensors_of(network.module).items() if name not in network.scores}
        for network in (one, other)
    )
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())
