"""Training scores instead of weights, on a CPU: SGD steps that neither sort the scores nor build their gradient."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.measure.accuracy import accuracy
from lth_runner.networks.redundant import signs
from lth_runner.search.fast_cpu import kernels
from lth_runner.search.masked import Group, MaskedLayer, MaskedRedundant, MaskedWeight, masked_layers, masked_weights
from lth_runner.search.top_fraction import find_cut

NARROWEST, WIDEST = 1e-4, 0.05  # half width of the band around the last threshold, as a fraction of it
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class ScoreTraining:
    """SGD with momentum and weight decay on the scores of a masked network; the weights stay as they are.

    The state is `scores` and `velocity`, each one float32 vector over all masked weights in the order of the forward
    pass: they determine every later step, bit for bit, so copies of them are a checkpoint. While this object is in use
    the network's layers hold their masked weights, and evaluating the network costs no selection.

    Binary: of a kept weight w the network uses sign(w) * alpha, with alpha the mean |w| over what its tensor keeps,
    settled after every step and a constant in the gradient. The gradient of a score is, as otherwise, that of what is
    used, times w and the score's sign: sign(w) leads back to |w|, as in the code published with arXiv:2103.09377.

    Attributes:
        scores: (N,); the network's own score parameters are views of it.
        velocity: (N,), the momentum buffers; zeros before the first step, which is how `torch.optim.SGD` starts too.
        misses: steps in which a threshold had to be found among all scores because it had left its band.
    """

    def __init__(self, network: torch.nn.Module, momentum: float, weight_decay: float, *, binary: bool) -> None:
        weights = masked_weights(network)
        if not weights:
            raise ConfigError("the network has no masked layer to train: give scores for at least one of its layers")
        self.network = network
        self.scores = torch.cat([weight.scores.detach().flatten() for weight in weights.values()])
        self.velocity = torch.zeros_like(self.scores)
        self.misses = 0
        self.binary = binary
        self._momentum, self._weight_decay = np.float32(momentum), np.float32(weight_decay)
        first = np.cumsum([0, *(weight.scores.numel() for weight in weights.values())])
        self._first = {weight: int(at) for weight, at in zip(weights.values(), first, strict=False)}
        for weight, at in self._first.items():
            weight.scores.data = self.scores[at : at + weight.scores.numel()].view(weight.scores.shape)
        groups = {id(weight.group): weight.group for weight in weights.values() if weight.group is not None}
        self._selections = [_Selection(group, self) for group in groups.values()]
        by_weight = {weight: selection for selection in self._selections for weight in selection.group.weights}
        self._layers = [_Layer(layer, self, by_weight) for layer in masked_layers(network)]
        self.refresh()

    def step(self, images: torch.Tensor, labels: torch.Tensor, rate: float, loss: Loss = cross_entropy) -> torch.Tensor:
        """One SGD step on a batch; gives the loss before it, a 0-d tensor."""
        value = loss(self.network(images), labels)
        gradients = torch.autograd.grad(value, [layer.held for layer in self._layers])
        rates = (np.float32(rate), self._momentum, self._weight_decay)
        for layer, gradient in zip(self._layers, gradients, strict=True):
            layer.descend(gradient, rates)
        for selection in self._selections:
            self.misses += not selection.follow()
        for layer in self._layers:
            layer.fold()
        return value.detach()

    def end_epoch(self, epoch: int) -> None:
        """Nothing: a mask has its density from the first step on."""

    def accuracies(self, images: torch.Tensor, labels: torch.Tensor, batch: int) -> list[float]:
        """Of the pruned network, in a list of one."""
        return [accuracy(self.network, images, labels, batch)]

    def masks(self, run: int = 0) -> dict[str, torch.Tensor]:
        """Bool tensors by weight name, True = kept: copies."""
        assert run == 0, "one network is trained"
        return {name: weight.mask() for name, weight in masked_weights(self.network).items()}

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return {"scores": self.scores, "velocity": self.velocity}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from a checkpoint."""
        self.scores.copy_(state["scores"])
        self.velocity.copy_(state["velocity"])
        self.refresh()

    def refresh(self) -> None:
        """Settles masks and held weights after `scores` was changed from outside."""
        for selection in self._selections:
            selection.search()
        for layer in self._layers:
            layer.fold()

    def release(self) -> None:
        """Lets the network's layers work out their masks themselves again."""
        for layer in masked_layers(self.network):
            layer.held = None


class _Selection:
    """The cut of one group: found among all scores once, then followed inside a narrow band around the last one."""

    def __init__(self, group: Group, training: ScoreTraining) -> None:
        self.group, self.kept = group, group.kept()
        start = training._first[group.weights[0]]
        size = sum(weight.scores.numel() for weight in group.weights)
        self.start, self.scores = start, training.scores[start : start + size]
        blocks, room = kernels.BLOCKS * len(group.weights), 64 + max(w.scores.numel() for w in group.weights) // 128
        self.above, self.found = np.zeros(blocks, np.int64), np.zeros(blocks, np.int64)
        self.found_score, self.found_at = np.zeros((blocks, room), np.float32), np.zeros((blocks, room), np.int64)
        self.cut, self.band, self.width = (np.float32(0), 0), (np.float32(0), np.float32(0)), WIDEST

    def counters(self, weight: MaskedWeight) -> tuple[np.ndarray, ...]:
        """The part of the counts that one weight fills."""
        at = self.group.weights.index(weight) * kernels.BLOCKS
        counters = (self.above, self.found, self.found_score, self.found_at)
        return tuple(array[at : at + kernels.BLOCKS] for array in counters)

    def follow(self) -> bool:
        """Settles the cut from the counts of the step; False if it had to search."""
        if self.kept == 0:
            return True
        hit, threshold, tie_end = kernels.select(self.above, self.found, self.found_score, self.found_at, self.kept)
        if not hit:
            self.search()
            return False
        moved = abs(float(threshold) - float(self.cut[0])) / max(float(threshold), 1e-30)
        self.width = min(max(8 * moved, self.width / 2, NARROWEST), WIDEST)
        self._settle(float(threshold), int(tie_end))
        return True

    def search(self) -> None:
        """Settles the cut among all scores."""
        found = find_cut(self.scores, self.kept)
        self.width = WIDEST
        self._settle(found.threshold, self.start + found.tie_end)

    def _settle(self, threshold: float, tie_end: int) -> None:
        self.cut = (np.float32(threshold), tie_end)
        self.band = (np.float32(threshold * (1 - self.width)), np.float32(threshold * (1 + self.width)))


class _Layer:
    """One masked layer as the kernels see it."""

    def __init__(self, layer: MaskedLayer, training: ScoreTraining, selections: dict[MaskedWeight, _Selection]) -> None:
        self.relu = isinstance(layer, MaskedRedundant) and layer.relu
        main, spread = (layer.weight2, layer.weight1) if isinstance(layer, MaskedRedundant) else (layer.weight, None)
        copies = 1 if spread is None else spread.weight.shape[0]
        self.main = _Tensor(main, (main.weight.shape[0], copies, -1), training, selections[main])
        inputs = self.main.weight.shape[2]
        self.spread = None if spread is None else _Tensor(spread, (copies, 1, inputs), training, selections[spread])
        self.ones = np.ones((1, copies, inputs), np.float32)
        self.sign = np.ones((1 + self.relu, copies, inputs), np.float32)
        self.factors = self.ones[0]
        self.parts = np.zeros((kernels.BLOCKS, copies, inputs), np.float32)
        self.unused = np.zeros((kernels.BLOCKS, 1, inputs), np.float32)
        shape = (main.weight.shape[0], len(self.sign) * inputs) if spread is not None else main.weight.shape
        self.held = torch.zeros(shape, requires_grad=True)
        self.folded = self.held.detach().numpy().reshape(main.weight.shape[0], len(self.sign), inputs)
        layer.held = self.held

    def descend(self, gradient: torch.Tensor, rates: tuple[np.float32, ...]) -> None:
        """Updates scores and velocities from the gradient of the loss in the held matrix, and counts."""
        matrix = gradient.contiguous().numpy().reshape(self.folded.shape)
        self.main.descend(matrix, self.sign, self.factors, rates, self.parts)
        if self.spread is not None:
            inner = self.main.factor * self.parts.sum(0)[:, None]  # (copies, 1, inputs)
            self.spread.descend(inner, self.ones[:, :1], self.ones[0, :1], rates, self.unused)

    def fold(self) -> None:
        """Brings the held matrix up to date with the cuts."""
        if self.spread is not None:
            effective = np.empty((len(self.factors), 1, self.factors.shape[1]), np.float32)
            self.spread.fold(self.ones[:, :1], effective)
            self.factors = effective[:, 0]
            self.sign = signs(torch.from_numpy(self.factors), self.relu).numpy()
        self.main.fold(self.sign * self.factors, self.folded)


class _Tensor:
    """One masked weight as NumPy views (outputs, copies, inputs) of the tensors' memory."""

    def __init__(
        self, weight: MaskedWeight, shape: tuple[int, ...], training: ScoreTraining, selection: _Selection
    ) -> None:
        self.first, self.selection = training._first[weight], selection
        part = slice(self.first, self.first + weight.scores.numel())
        self.weight = weight.weight.numpy().reshape(shape)
        self.binary, self.factor = training.binary, np.float32(1)
        self.used = np.where(self.weight < 0, np.float32(-1), np.float32(1)) if self.binary else self.weight
        self.score, self.velocity = (v[part].numpy().reshape(shape) for v in (training.scores, training.velocity))
        self.counters = selection.counters(weight)

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
