"""SNIP: the weights whose removal would change the loss most, seen from the gradient of one batch (Lee et al. 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lth_runner.core import checks
from lth_runner.prune.at_init import InRounds, Samples, Scores
from lth_runner.training.train import classification


@dataclass(frozen=True, kw_only=True)
class Snip(InRounds):
    """The score of a weight w is |dL/dc| at c = 1, where c multiplies it: |w dL/dw|, L the mean loss of one batch.

    Reference: arXiv:1810.02340. Differs from the paper and its code: biases are not pruned (the code scores them too);
    the weights that were scored are trained (the code draws new ones, which is control=reinitialised); scores are not
    divided by their sum, which changes no rank; the published training is SGD, here it is the recipe's. With more than
    one round every round has a batch of its own. The module is in training mode: batch norms use the batch.

    Attributes:
        batch: training images that make the scores of a round, or all where there are fewer; the paper takes 100 of
            MNIST and 128 of CIFAR-10.
    """

    batch: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("batch", self.batch, at_least=1)

    def scores(self, module: torch.nn.Module, names: Sequence[str], samples: Samples) -> Scores:
        parameters = dict(module.named_parameters())
        weights = [parameters[name] for name in names]
        loss = classification(module, *samples.first(self.batch))
        gradients = torch.autograd.grad(loss, weights, materialize_grads=True, allow_unused=True)
        return {
            name: (weight * gradient).abs() for name, weight, gradient in zip(names, weights, gradients, strict=True)
        }
