"""Networks with binary activations: -1 or 1 in place of every ReLU's output."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from lth_runner.networks.activated import check_relus, with_relus_replaced
from lth_runner.networks.interface import Architecture


@dataclass(frozen=True, kw_only=True)
class SignActivations:
    """The original with a sign in place of every torch.nn.ReLU, where it stands and under its name.

    With weights of one size, as biprop's, this is MPT-1/1: inputs stay real, and every hidden layer is given signs.

    Reference: Diffenderfer and Kailkhura, arXiv:2103.09377, of which the derivative that stands for that of the sign
    was not known here; ours is that of XNOR-Net (Rastegari et al., ECCV 2016): see `sign`.

    Attributes:
        original: has its ReLUs as layers (fc, lenet_300_100, lenet5, conv2, ...).
    """

    kind: ClassVar[str] = "sign_activations"
    original: Architecture

    def __post_init__(self) -> None:
        check_relus(self.original)

    def module(self) -> torch.nn.Module:
        return with_relus_replaced(self.original.module(), Sign)


class Sign(torch.nn.Module):
    """See `sign`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sign(x)


def sign(x: torch.Tensor) -> torch.Tensor:
    """1 where x >= 0, else -1; its derivative is taken to be that of clamp(x, -1, 1): 1 where |x| <= 1, else 0."""
    found: Any = _Sign.apply(x)
    return found


class _Sign(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() <= 1)
