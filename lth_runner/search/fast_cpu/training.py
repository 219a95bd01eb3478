"""Training scores instead of weights, on a CPU: SGD steps that neither sort the scores nor build their gradient."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lth_runner.data.interface import Inputs
from lth_runner.networks.redundant import signs
from lth_runner.search.fast_cpu import kernels
from lth_runner.search.fast_cpu.held import with_held_matrices
from lth_runner.search.scored import Group, ScoredNetwork, views
from lth_runner.search.top_fraction import find_cut, top_mask
from lth_runner.search.trainer import BUFFER, evaluated, fractions_right, gathered, plain_attention

NARROWEST, WIDEST = 1e-4, 0.05  # half width of the band around the last threshold, as a fraction of it
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class ScoreTraining:
    """SGD with momentum and weight decay on the scores of a network; the weights stay as they are.

    The same steps as `FunctionalTraining` takes for one network with the rule of edge-popup, or of biprop (binary). The
    state is `scores` and `velocity`, each one float32 vector over all weights with scores in the order of the module's
    parameters, and what batch norms gather: they determine every later step, bit for bit, so copies of them are a
    checkpoint. What the network multiplies with is kept up to date by every step, and passed to the module by
    `functional_call`; a redundant layer whose weights both have scores multiplies with one folded matrix.

    Binary: of a kept weight w the network uses sign(w) * alpha, with alpha the mean |w| over what its tensor keeps,
    worked out after every step and a constant in the gradient.

    Attributes:
        module: the copy that is called.
        scores: (N,).
        velocity: (N,), the momentum buffers; zeros before the first step, which is how `torch.optim.SGD` starts too.
        misses: steps in which a threshold had to be found among all scores because it had left its band.
        effective: what the network uses, by parameter name; of a folded layer the matrix, as "fc1.matrix".
    """

    def __init__(self, network: ScoredNetwork, momentum: float, weight_decay: float, *, binary: bool) -> None:
        self.network = network
        self.module, held = with_held_matrices(network)
        self.scores = network.flat_scores()
        self.velocity = torch.zeros_like(self.scores)
        self.misses = 0
        self.binary = binary
        self._momentum, self._weight_decay = np.float32(momentum), np.float32(weight_decay)
        sizes = {name: at.stop - at.start for name, at in network.columns.items()}
        self._selections = [
            _Selection(group, self.scores, max(sizes[name] for name in group.names)) for group in network.groups
        ]
        by_name = {name: selection for selection in self._selections for name in selection.group.names}
        tensors = {name: _Tensor(name, self, by_name[name]) for name in network.columns}
        self._layers = {
            f"{prefix}matrix": _Layer(tensors[f"{prefix}weight2"], tensors[f"{prefix}weight1"], layer.relu)
            for prefix, layer in held.items()
        }
        folded = {f"{prefix}{name}" for prefix in held for name in ("weight1", "weight2")}
        self._layers |= {name: _Layer(tensor, None, False) for name, tensor in tensors.items() if name not in folded}
        self.effective = {name: layer.held for name, layer in self._layers.items()}
        self.refresh()

    def step(self, inputs: Inputs, labels: torch.Tensor, rate: float, loss: Loss = cross_entropy) -> torch.Tensor:
        """One SGD step on a batch; gives the loss before it, a 0-d tensor."""
        value = loss(self._call(inputs), labels)
        leaves = list(self.effective.values())
        gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
        rates = (np.float32(rate), self._momentum, self._weight_decay)
        for layer, gradient in zip(self._layers.values(), gradients, strict=True):
            layer.descend(gradient, rates)
        for selection in self._selections:
            self.misses += not selection.follow()
        for layer in self._layers.values():
            layer.fold()
        return value.detach()

    def end_epoch(self, epoch: int) -> None:
        """Nothing: a mask has its density from the first step on."""

    def accuracies(self, inputs: Inputs, labels: torch.Tensor, batch: int) -> list[float]:
        """Of the pruned network, in a list of one."""
        return fractions_right(lambda block: self.outputs(block)[None], inputs, labels, batch)

    @torch.no_grad()
    def outputs(self, inputs: Inputs) -> torch.Tensor:
        """What the pruned network says of the inputs: (B, classes)."""
        with evaluated(self.module):
            return self._call(inputs)

    def masks(self, run: int = 0) -> dict[str, torch.Tensor]:
        """Bool tensors by weight name, True = kept: copies."""
        assert run == 0, "one network is trained"
        found = torch.empty_like(self.scores, dtype=torch.bool)
        for group in self.network.groups:
            found[group.columns] = top_mask(self.scores[group.columns], group.kept())
        return views(found, self.network)

    def statistics(self, run: int = 0) -> dict[str, torch.Tensor]:
        """What the batch norms gathered, by buffer name: copies."""
        assert run == 0, "one network is trained"
        return {name: buffer.clone() for name, buffer in gathered(self.module).items()}

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        own = {"scores": self.scores, "velocity": self.velocity}
        return own | {BUFFER + name: buffer for name, buffer in gathered(self.module).items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from a checkpoint."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.refresh()

    def refresh(self) -> None:
        """Works out masks and effective weights after `scores` was changed from outside."""
        for selection in self._selections:
            selection.search()
        for layer in self._layers.values():
            layer.fold()

    def _call(self, inputs: Inputs) -> torch.Tensor:
        with plain_attention():
            return functional_call(self.module, self.effective, (inputs,))


class _Selection:
    """The cut of one group: found among all scores once, then followed inside a narrow band around the last one."""

    def __init__(self, group: Group, scores: torch.Tensor, largest: int) -> None:
        self.group, self.kept = group, group.kept()
        self.start, self.scores = group.columns.start, scores[group.columns]
        blocks, room = kernels.BLOCKS * len(group.names), 64 + largest // 128
        self.above, self.found = np.zeros(blocks, np.int64), np.zeros(blocks, np.int64)
        self.found_score, self.found_at = np.zeros((blocks, room), np.float32), np.zeros((blocks, room), np.int64)
        self.cut, self.band, self.width = (np.float32(0), 0), (np.float32(0), np.float32(0)), WIDEST

    def counters(self, name: str) -> tuple[np.ndarray, ...]:
        """The part of the counts that one weight fills."""
        at = self.group.names.index(name) * kernels.BLOCKS
        counters = (self.above, self.found, self.found_score, self.found_at)
        return tuple(array[at : at + kernels.BLOCKS] for array in counters)

    def follow(self) -> bool:
        """Finds the cut by the counts of the step; False if it had to search."""
        if self.kept == 0:
            return True
        hit, threshold, tie_end = kernels.select(self.above, self.found, self.found_score, self.found_at, self.kept)
        if not hit:
            self.search()
            return False
        moved = abs(float(threshold) - float(self.cut[0])) / max(float(threshold), 1e-30)
        self.width = min(max(8 * moved, self.width / 2, NARROWEST), WIDEST)
        self._cut_at(float(threshold), int(tie_end))
        return True

    def search(self) -> None:
        """Finds the cut among all scores."""
        found = find_cut(self.scores, self.kept)
        self.width = WIDEST
        self._cut_at(found.threshold, self.start + found.tie_end)

    def _cut_at(self, threshold: float, tie_end: int) -> None:
        self.cut = (np.float32(threshold), tie_end)
        self.band = (np.float32(threshold * (1 - self.width)), np.float32(threshold * (1 + self.width)))


class _Tensor:
    """One weight with scores, its memory seen as (outputs, copies, inputs) by NumPy."""

    def __init__(self, name: str, training: ScoreTraining, selection: _Selection) -> None:
        self.selection, self.binary, self.factor = selection, training.binary, np.float32(1)
        columns = training.network.columns[name]
        self.first = columns.start
        self.weight = training.network.module.get_parameter(name).detach().float().contiguous().numpy()
        self.shape = self.weight.shape
        self.used = np.where(self.weight < 0, np.float32(-1), np.float32(1)) if self.binary else self.weight
        self.score, self.velocity = training.scores[columns].numpy(), training.velocity[columns].numpy()
        self.counters = selection.counters(name)

    def seen_as(self, outputs: int, copies: int) -> None:
        """Settles the first two of the three axes."""
        for array in ("weight", "used", "score", "velocity"):
            setattr(self, array, getattr(self, array).reshape(outputs, copies, -1))

    def descend(self, grad: np.ndarray, sign: np.ndarray, spread: np.ndarray, rates: tuple, parts: np.ndarray) -> None:
        cut, band = self.selection.cut, self.selection.band
        tensors = (self.weight, self.used, self.score, self.velocity, grad, sign, spread)
        kernels.descend(*tensors, self.first, rates, cut, band, parts, *self.counters)

    def fold(self, factor: np.ndarray, folded: np.ndarray) -> None:
        cut = self.selection.cut
        if self.binary:
            self.factor = np.float32(kernels.mean_size(self.weight, self.score, self.first, cut))
            factor = self.factor * factor
        kernels.fold(self.used, self.score, factor, self.first, cut, folded)


class _Layer:
    """One weight, or the two of a redundant layer, and what the network uses in its place."""

    def __init__(self, main: _Tensor, spread: _Tensor | None, relu: bool) -> None:
        self.main, self.spread, self.relu = main, spread, relu
        outputs, copies = main.shape[0], 1 if spread is None else spread.shape[0]
        main.seen_as(outputs, copies)
        if spread is not None:
            spread.seen_as(copies, 1)
        inputs = main.weight.shape[2]
        self.ones = np.ones((1, copies, inputs), np.float32)
        self.sign = np.ones((1 + relu, copies, inputs), np.float32)
        self.factors = self.ones[0]
        self.parts = np.zeros((kernels.BLOCKS, copies, inputs), np.float32)
        self.unused = np.zeros((kernels.BLOCKS, 1, inputs), np.float32)
        self.held = torch.zeros(main.shape if spread is None else (outputs, (1 + relu) * inputs), requires_grad=True)
        self.folded = self.held.detach().numpy().reshape(outputs, 1 + relu, inputs)

    def descend(self, gradient: torch.Tensor, rates: tuple[np.float32, ...]) -> None:
        """Updates scores and velocities from the gradient of the loss in what the network uses, and counts."""
        matrix = gradient.contiguous().numpy().reshape(self.folded.shape)
        self.main.descend(matrix, self.sign, self.factors, rates, self.parts)
        if self.spread is not None:
            inner = self.main.factor * self.parts.sum(0)[:, None]  # (copies, 1, inputs)
            self.spread.descend(inner, self.ones[:, :1], self.ones[0, :1], rates, self.unused)

    def fold(self) -> None:
        """Brings what the network uses up to date with the cuts."""
        if self.spread is not None:
            effective = np.empty((len(self.factors), 1, self.factors.shape[1]), np.float32)
            self.spread.fold(self.ones[:, :1], effective)
            self.factors = effective[:, 0]
            self.sign = signs(torch.from_numpy(self.factors), self.relu).numpy()
        self.main.fold(self.sign * self.factors, self.folded)
