"""Training scores in [0, 1] that are rounded to a mask, and freezing the lowest of them to zero on the way."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.measure.accuracy import accuracy
from lth_runner.networks.redundant import fold
from lth_runner.search.masked import MaskedRedundant, MaskedWeight, masked_layers, masked_weights
from lth_runner.search.top_fraction import kept_count, top_mask

THRESHOLD = 0.5  # scores from here on are rounded up: their weights are used


def num_rounds(epochs: int, period: int) -> int:
    """Rounds of freezing: after epoch `period`, 2 * `period`, ..., and at least one epoch follows the last one."""
    return (epochs - 1) // period


def left_active(density: float, size: int, finished: int, rounds: int) -> int:
    """How many of `size` weights are active after so many rounds: a fraction density^(1/rounds) survives each."""
    return kept_count(density ** (finished / rounds), size)


class RoundedScoreTraining:
    """SGD with momentum on scores p of a masked network, whose active weights w count where p >= 1/2.

    The loss is the cross-entropy plus `penalty` * ||p||^2 over the active weights. Straight through the rounding, the
    gradient of the first part is dL/dp = dL/dw_effective * w. After every step p is brought back into [0, 1]. In a
    round of freezing the active weights with the lowest p become inactive: p = 0 for ever.

    Attributes:
        scores, velocity: (N,) over all masked weights in the order of the forward pass; 0 where inactive.
        active: (N,) bool. The three of them are the whole state.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        *,
        momentum: float,
        weight_decay: float,
        penalty: float,
        epochs: int,
        period: int,
    ) -> None:
        weights = masked_weights(network)
        if not weights:
            raise ConfigError("the network has no masked layer to train: give scores for at least one of its layers")
        self.network, self._weights = network, weights
        self.scores = torch.cat([weight.scores.detach().flatten() for weight in weights.values()])
        if bool(((self.scores < 0) | (self.scores > 1)).any()):
            raise ConfigError(
                "first scores that are rounded lie in [0, 1]: set method/distribution@method.scores=uniform"
            )
        self.velocity = torch.zeros_like(self.scores)
        self.active = torch.ones_like(self.scores, dtype=torch.bool)
        self._momentum, self._weight_decay, self._penalty = momentum, weight_decay, penalty
        self._period, self._rounds = period, num_rounds(epochs, period)
        edges = itertools.accumulate((weight.scores.numel() for weight in weights.values()), initial=0)
        self._columns = [slice(*pair) for pair in itertools.pairwise(edges)]
        self._drawn = torch.cat([weight.weight.flatten() for weight in weights.values()])
        self._offered = self._drawn.clone()  # 0 where inactive
        self._effective = torch.zeros_like(self._drawn)
        self._leaves = {
            weight: self._effective[columns].view(weight.scores.shape).detach().requires_grad_()
            for weight, columns in zip(weights.values(), self._columns, strict=True)
        }
        self._settle()

    def step(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """One SGD step on a batch; gives the cross-entropy before it, without the penalty."""
        self._hold()
        value = cross_entropy(self.network(images), labels)
        gradients = torch.autograd.grad(value, list(self._leaves.values()))
        with torch.no_grad():
            slope = torch.cat([gradient.flatten() for gradient in gradients]) * self._offered
            slope += (2 * self._penalty + self._weight_decay) * self.scores
            self.velocity.mul_(self._momentum).add_(slope)
            self.scores.sub_(rate * self.velocity).clamp_(0, 1)
        self._settle()
        return value.detach()

    def end_epoch(self, epoch: int) -> None:
        """After the last epoch of a period: a round of freezing, in every group of competing scores."""
        finished, rest = divmod(epoch, self._period)
        if rest == 0 and finished <= self._rounds:
            for group in dict.fromkeys(weight.group for weight in self._weights.values()):
                assert group is not None, "a masked weight belongs to a group of masked()"
                columns = self._of(group.weights)
                left = left_active(group.density, columns.stop - columns.start, finished, self._rounds)
                active = self.active[columns].nonzero().flatten()
                frozen = active[~top_mask(self.scores[columns][active], left)] + columns.start
                for state in (self.scores, self.velocity, self._offered):
                    state[frozen] = 0
                self.active[frozen] = False
            self._settle()

    def accuracies(self, images: torch.Tensor, labels: torch.Tensor, batch: int) -> list[float]:
        """Of the pruned network, in a list of one."""
        with torch.no_grad():
            self._hold()
            return [accuracy(self.network, images, labels, batch)]

    def masks(self, run: int = 0) -> dict[str, torch.Tensor]:
        """The masks by weight name: True where the weight is active and its score is rounded up."""
        assert run == 0, "one network is trained"
        kept = self._kept()
        parts = zip(self._weights.items(), self._columns, strict=True)
        return {name: kept[columns].view(weight.scores.shape) for (name, weight), columns in parts}

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return {"scores": self.scores, "velocity": self.velocity, "active": self.active}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from a checkpoint."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self._offered.copy_(torch.where(self.active, self._drawn, 0.0))
        self._settle()

    def _of(self, weights: Sequence[MaskedWeight]) -> slice:
        """The columns of weights that follow each other."""
        own = [columns for weight, columns in zip(self._leaves, self._columns, strict=True) if weight in weights]
        return slice(own[0].start, own[-1].stop)

    def _kept(self) -> torch.Tensor:
        return self.active & (self.scores >= THRESHOLD)

    def _settle(self) -> None:
        """Brings the effective weights up to date."""
        self._effective.copy_(torch.where(self._kept(), self._drawn, 0.0))

    def _hold(self) -> None:
        for layer in masked_layers(self.network):
            if isinstance(layer, MaskedRedundant):
                layer.held = fold(self._leaves[layer.weight1], self._leaves[layer.weight2], layer.relu)
            else:
                layer.held = self._leaves[layer.weight]
