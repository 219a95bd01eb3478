"""Score training as it is defined: masks by a sort, plain autograd straight through them, torch's own SGD."""

from typing import Any, cast

import torch
from torch.func import functional_call

from lth_runner.search.scored import ScoredNetwork


class _Keep(torch.autograd.Function):
    """The weight where the mask is True, else 0; backwards the mask counts as |score| itself."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight, scores)
        return torch.where(mask, weight, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        weight, scores = ctx.saved_tensors
        return None, gradients[0] * weight * scores.sign(), None


class _Binary(torch.autograd.Function):
    """alpha * mask; backwards alpha is a constant and the mask counts as |score|, weighed with |w|: biprop's own."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight, scores)
        return mask * (weight.abs() * mask).double().sum().div(max(int(mask.sum()), 1)).float()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        weight, scores = ctx.saved_tensors
        return None, gradients[0] * weight.abs() * scores.sign(), None


class Oracle:
    """Edge-popup, or biprop (binary), of one network; `network.module` itself is called, redundant layers unfolded."""

    def __init__(
        self, network: ScoredNetwork, *, binary: bool = False, rate: float, momentum: float, decay: float
    ) -> None:
        self.network, self.binary = network, binary
        self.weights = {name: network.module.get_parameter(name).detach().clone() for name in network.columns}
        self.scores = {name: torch.nn.Parameter(network.scores[name].detach().clone()) for name in network.columns}
        self._optimizer = torch.optim.SGD(self.scores.values(), lr=rate, momentum=momentum, weight_decay=decay)

    def masks(self) -> dict[str, torch.Tensor]:
        """True at the largest |scores| of every group; of equal ones the first in the order of the parameters."""
        found = {}
        for group in self.network.groups:
            flat = torch.cat([self.scores[name].detach().flatten() for name in group.names])
            mask = torch.zeros_like(flat, dtype=torch.bool)
            mask[flat.abs().argsort(descending=True, stable=True)[: group.kept()]] = True
            parts = mask.split([self.scores[name].numel() for name in group.names])
            found |= {n: part.view(self.scores[n].shape) for n, part in zip(group.names, parts, strict=True)}
        return found

    def effective(self) -> dict[str, torch.Tensor]:
        """What the network uses, differentiable in the scores."""
        found = {}
        for name, mask in self.masks().items():
            weight, scores = self.weights[name], self.scores[name]
            if self.binary:
                found[name] = weight.sign() * cast(torch.Tensor, _Binary.apply(weight, scores, mask))
            else:
                found[name] = cast(torch.Tensor, _Keep.apply(weight, scores, mask))
        return found

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        return functional_call(self.network.module, self.effective(), (images,))

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        self._optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.outputs(images), labels)
        loss.backward()
        self._optimizer.step()
        return loss.item()
