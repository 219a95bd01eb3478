"""Attention as the products of its projections: all that a pruned network has to approximate of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from lth_runner.networks.attention import AttentionLayer, packed_attentions, replaced_
from lth_runner.networks.interface import Architecture, first_names, skeleton, state_shapes


@dataclass(frozen=True, kw_only=True)
class MergedAttention:
    """The network whose packed attentions hold two products for each head, and compute what they did.

    A head scores token j for token i by q_i . k_j = [x_i; 1]^T A [x_j; 1] with A = [W_q, b_q]^T [W_k, b_k]. The last
    column of A adds the same to all scores of one i, which the softmax does not see, and is left out. The shares p_ij
    of tokens in an average sum to 1, so that biases of values come out as they are: a head adds B^T [sum_j p_ij x_j; 1]
    with B = [W_v, b_v]^T W_o^T, to whose last row, that of the constant, each adds its part b_o / heads of the bias.

    The products of all heads, (heads, width + 1, width) each, are called "query_key" and "value_output"; without biases
    there is no coordinate for the constant 1. They have about heads / 2 times as many entries as the projections.

    Attributes:
        original: the architecture with its attentions packed.
    """

    kind: ClassVar[str] = "merged_attention"
    original: Architecture

    def module(self) -> torch.nn.Module:
        module = self.original.module()
        for path, packed in packed_attentions(module):
            with torch.device(packed.out_proj.weight.device):
                merged = MergedSelfAttention(packed).to(packed.out_proj.weight.dtype)
            module = replaced_(module, path, merged)
        return module

    def folded(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Parameters and buffers of this network that compute what those of the original do."""
        module, products = skeleton(self.original), dict[str, np.ndarray]()
        first = first_names(module)
        for path, packed in packed_attentions(module):
            prefix = f"{path}." if path else ""
            own = {name: state[first[prefix + name]] for name in packed.state_dict()}
            products |= {prefix + name: array for name, array in _products(own, packed.num_heads).items()}
        return {name: products[name] if name in products else state[first[name]] for name in state_shapes(self)}


class MergedSelfAttention(AttentionLayer):
    """One attention of `MergedAttention`, without numbers.

    Attributes:
        constant: 1 where queries and values get one more coordinate, which is always 1; else 0.
    """

    def __init__(self, packed: torch.nn.MultiheadAttention) -> None:
        super().__init__(packed.num_heads, packed.batch_first, packed.head_dim**-0.5)
        self.constant = int(packed.in_proj_bias is not None or packed.out_proj.bias is not None)
        heads, width, coordinates = packed.num_heads, packed.embed_dim, packed.embed_dim + self.constant
        self.query_key = torch.nn.Parameter(torch.zeros(heads, coordinates, width))
        self.value_output = torch.nn.Parameter(torch.zeros(heads, coordinates, width))

    def projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        each = (*[-1] * (key.ndim - 2), self.heads, -1, -1)
        return (
            with_constant(query, self.constant).unsqueeze(-3) @ self.query_key,
            key.unsqueeze(-3).expand(each),
            with_constant(value, self.constant).unsqueeze(-3).expand(each),
        )

    def joined(self, mixed: torch.Tensor) -> torch.Tensor:
        return (mixed @ self.value_output).sum(-3)


def with_constant(x: torch.Tensor, constant: int) -> torch.Tensor:
    """The features and, where that is asked for, a last one that is always 1."""
    return torch.cat((x, torch.ones_like(x[..., :1])), dim=-1) if constant else x


def _products(own: Mapping[str, np.ndarray], heads: int) -> dict[str, np.ndarray]:
    """The two products of one packed attention, by their names."""
    out, biases, out_bias = own["out_proj.weight"], own.get("in_proj_bias"), own.get("out_proj.bias")
    width = len(out)
    packed = own["in_proj_weight"]
    if biases is not None or out_bias is not None:
        packed = np.column_stack((packed, np.zeros(3 * width) if biases is None else biases))
    query, key, value = packed.reshape(3, heads, -1, packed.shape[1])  # (heads, width of a head, width + 1) each
    value_output = value.swapaxes(1, 2) @ out.reshape(width, heads, -1).transpose(1, 2, 0)
    if out_bias is not None:
        value_output[:, -1] += out_bias / heads
    return {"query_key": query.swapaxes(1, 2) @ key[:, :, :width], "value_output": value_output}
