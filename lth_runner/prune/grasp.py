"""GraSP: the weights whose removal would harm the flow of the gradient (Wang, Zhang and Grosse 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from lth_runner.core import checks
from lth_runner.prune.at_init import InRounds, Samples, Scores


@dataclass(frozen=True, kw_only=True)
class Grasp(InRounds):
    """The score of a weight w is w (H g), g the gradient and H the Hessian of the loss in all weights that are pruned.

    To first order removing w lowers g . g, by which a step of training lowers the loss, by 2 w (H g): the largest are
    kept, the most negative removed first. (The published code computes -w (H g) and removes the largest: the same.)
    Scores have signs: a weight whose removal raises g . g goes before one without any effect.

    Reference: arXiv:2002.07376. Differs from the paper's code: one batch is taken whole, not in halves whose gradients
    are added, which saves memory there; linear layers are not drawn anew before they are scored. The module is in
    training mode: batch norms use the batch.

    Attributes:
        samples_per_class: training images of every class, or all where there are fewer, in the one batch of a round;
            the published settings take 10, its code 25 by default.
        temperature: what the outputs are divided by before the softmax; published 200.
        absolute: scores without their sign: weights go first whose removal changes g . g least, as arXiv:2009.08576
            proposes.
    """

    samples_per_class: int
    temperature: float
    absolute: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("samples_per_class", self.samples_per_class, at_least=1)
        checks.positive("temperature", self.temperature)
        checks.boolean("absolute", self.absolute)

    def scores(self, module: torch.nn.Module, names: Sequence[str], samples: Samples) -> Scores:
        parameters = dict(module.named_parameters())
        weights = [parameters[name] for name in names]
        inputs, labels = samples.of_each_class(self.samples_per_class)
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            loss = cross_entropy(module(inputs) / self.temperature, labels)
            gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True, allow_unused=True)
            along = torch.stack([(gradient.detach() * gradient).sum() for gradient in gradients]).sum()
            products = torch.autograd.grad(along, weights, materialize_grads=True, allow_unused=True)  # H g
        found = {name: weight * product for name, weight, product in zip(names, weights, products, strict=True)}
        return {name: score.abs() if self.absolute else score for name, score in found.items()}
