"""Multi-head attention whose projections are layers of their own, so that a construction can replace them."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention


class AttentionLayer(torch.nn.Module, ABC):
    """What `torch.nn.MultiheadAttention` takes and gives, around projections of any kind.

    Attention weights are not returned, and nothing is dropped out.

    Attributes:
        heads: how many.
        batch_first: whether inputs are (N, T, D), and not (T, N, D).
        scale: what scores are multiplied with; None: 1 / the root of a key's width.
    """

    def __init__(self, heads: int, batch_first: bool, scale: float | None) -> None:
        super().__init__()
        self.heads, self.batch_first, self.scale = heads, batch_first, scale
        self.in_proj_bias = None  # torch's encoder layer takes a path of its own, past this layer, where there is one

    @abstractmethod
    def projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values, (N, heads, T, width of each), of inputs (N, T, D)."""

    @abstractmethod
    def joined(self, mixed: torch.Tensor) -> torch.Tensor:
        """(N, T, D) of the heads' averages of values, (N, heads, T, width of a value)."""

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, None]:
        del need_weights, average_attn_weights
        inputs = {id(x): x if self.batch_first else x.transpose(0, 1) for x in (query, key, value)}  # (N, T, D)
        q, k, v = self.projected(*(inputs[id(x)] for x in (query, key, value)))
        mask = _merged(attn_mask, key_padding_mask, q.dtype, self.heads)
        causal = is_causal and mask is None
        out = self.joined(scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=self.scale))
        return (out if self.batch_first else out.transpose(0, 1)), None


class SelfAttention(AttentionLayer):
    """What `torch.nn.MultiheadAttention` computes, with its packed projection as the linear layer `in_proj`."""

    def __init__(self, packed: torch.nn.MultiheadAttention) -> None:
        super().__init__(packed.num_heads, packed.batch_first, None)
        width = packed.embed_dim
        self.in_proj = torch.nn.Linear(width, 3 * width, bias=packed.in_proj_bias is not None)
        self.out_proj = torch.nn.Linear(width, width, bias=packed.out_proj.bias is not None)

    def projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if query is key and key is value:
            parts = self.in_proj(query).chunk(3, dim=-1)
        else:
            parts = [self.in_proj(part).chunk(3, dim=-1)[i] for i, part in enumerate((query, key, value))]
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for part in parts)  # (N, heads, T, D/h)
        return q, k, v

    def joined(self, mixed: torch.Tensor) -> torch.Tensor:
        return self.out_proj(mixed.transpose(-3, -2).flatten(-2))


def _merged(attn: torch.Tensor | None, padding: torch.Tensor | None, dtype: torch.dtype, heads: int) -> Any:
    """One additive mask out of those that `torch.nn.MultiheadAttention` takes: True, or -inf, is left out."""
    masks = []
    if attn is not None:
        masks.append(_additive(attn if attn.ndim == 2 else attn.unflatten(0, (-1, heads)), dtype))
    if padding is not None:
        masks.append(_additive(padding[:, None, None, :], dtype))
    return None if not masks else sum(masks[1:], masks[0])


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, float("-inf"))


def unpack_(module: torch.nn.Module) -> tuple[torch.nn.Module, dict[str, str]]:
    """Puts `SelfAttention` in the place of every packed attention, with its weights.

    Attentions whose keys or values have a width of their own, or that add a bias or zeros to them, stay as they are.

    Returns:
        the module, and the old names of the parameters that have another now, by their new ones.
    """
    renamed: dict[str, str] = {}
    for path, layer in packed_attentions(module):
        with torch.device(layer.out_proj.weight.device):
            unpacked = SelfAttention(layer).to(layer.out_proj.weight.dtype)
        if not layer.out_proj.weight.is_meta:
            _move_(unpacked, layer)
        prefix = f"{path}." if path else ""
        renamed |= {
            f"{prefix}in_proj.weight": f"{prefix}in_proj_weight",
            f"{prefix}in_proj.bias": f"{prefix}in_proj_bias",
        }
        module = replaced_(module, path, unpacked)
    return module, renamed


def packed_attentions(module: torch.nn.Module) -> list[tuple[str, torch.nn.MultiheadAttention]]:
    """The packed attentions that another layer can stand in for, by path."""
    parts = module.named_modules()
    return [(path, part) for path, part in parts if isinstance(part, torch.nn.MultiheadAttention) and is_plain(part)]


def replaced_(module: torch.nn.Module, path: str, part: torch.nn.Module) -> torch.nn.Module:
    """The module with the part at that path, and wherever else the module there stands under another name.

    The part itself where the path is that of the whole.
    """
    if not path:
        return part
    replaced = module.get_submodule(path)
    places = [(parent, name) for parent in module.modules() for name, child in children(parent) if child is replaced]
    for parent, name in places:
        setattr(parent, name, part)
    return module


def children(module: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """The module's own parts by name, one that has several names under each of them."""
    return [(name, part) for name, part in module._modules.items() if part is not None]  # no public way keeps repeats


def is_plain(layer: torch.nn.MultiheadAttention) -> bool:
    return layer.in_proj_weight is not None and layer.bias_k is None and not layer.add_zero_attn


def _move_(unpacked: SelfAttention, packed: torch.nn.MultiheadAttention) -> None:
    """Gives the tensors to the one that stands there from now on: no copy of them."""
    unpacked.in_proj.weight.data = packed.in_proj_weight.data
    unpacked.out_proj.weight.data = packed.out_proj.weight.data
    if packed.in_proj_bias is not None:
        unpacked.in_proj.bias.data = packed.in_proj_bias.data
    if packed.out_proj.bias is not None:
        unpacked.out_proj.bias.data = packed.out_proj.bias.data
