"""Attention as products of its projections, against torch's own."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lth_runner.networks.folding import BatchNormFolded
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import Rewritten, filled, state_shapes, tensors_of
from lth_runner.networks.merged_attention import MergedAttention

WIDTH, HEADS, TOKENS = 6, 3, 5


def numbers(module: nn.Module, seed: int = 0) -> dict[str, np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return {name: tensor.detach().double().numpy() for name, tensor in tensors_of(module.eval()).items()}


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("cross", [True, False])
@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"batch_first": True}])
def test_products_compute_what_the_packed_attention_does(settings: dict[str, Any], cross: bool) -> None:
    packed = nn.MultiheadAttention(WIDTH, HEADS, **settings)
    state = numbers(packed)
    merged = MergedAttention(original=Instance.of(packed))
    x, y = draw(2, TOKENS, WIDTH), draw(2, TOKENS, WIDTH, seed=2)
    y = y if cross else x
    count = 2 if packed.batch_first else TOKENS  # of sequences
    padding = torch.zeros(count, 2 * TOKENS // count).bool()
    padding[0, -1] = True
    later = torch.ones(2 * TOKENS // count, 2 * TOKENS // count).triu(1).bool()
    for mask in ({}, {"key_padding_mask": padding}, {"attn_mask": later}):
        wanted, _ = packed.double()(x, y, y, **mask)
        found, none = filled(merged, merged.folded(state), torch.float64)(x, y, y, **mask)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
        assert none is None


def test_its_numbers_are_the_products_and_biases_of_keys_are_none_of_them() -> None:
    packed = nn.MultiheadAttention(WIDTH, HEADS)
    state = numbers(packed)
    merged = MergedAttention(original=Instance.of(packed))
    found = merged.folded(state)
    assert {name: array.shape for name, array in found.items()} == state_shapes(merged)
    q, k, v = state["in_proj_weight"].reshape(3, HEADS, 2, WIDTH)
    q_bias, _, v_bias = state["in_proj_bias"].reshape(3, HEADS, 2)
    out = state["out_proj.weight"].reshape(WIDTH, HEADS, 2)
    for h in range(HEADS):
        np.testing.assert_allclose(found["query_key"][h, :-1], q[h].T @ k[h], rtol=0, atol=1e-14)
        np.testing.assert_allclose(found["query_key"][h, -1], q_bias[h] @ k[h], rtol=0, atol=1e-14)
        np.testing.assert_allclose(found["value_output"][h, :-1].T, out[:, h] @ v[h], rtol=0, atol=1e-14)
        constant = out[:, h] @ v_bias[h] + state["out_proj.bias"] / HEADS
        np.testing.assert_allclose(found["value_output"][h, -1], constant, rtol=0, atol=1e-14)
    state["in_proj_bias"][WIDTH : 2 * WIDTH] += 3
    for name, array in merged.folded(state).items():
        np.testing.assert_array_equal(array, found[name])


def test_heads_in_another_order_are_products_in_that_order() -> None:
    packed = nn.MultiheadAttention(WIDTH, HEADS)
    state, order = numbers(packed), [2, 0, 1]
    merged = MergedAttention(original=Instance.of(packed))
    other = {
        "in_proj_weight": state["in_proj_weight"].reshape(3, HEADS, 2, WIDTH)[:, order].reshape(3 * WIDTH, WIDTH),
        "in_proj_bias": state["in_proj_bias"].reshape(3, HEADS, 2)[:, order].reshape(-1),
        "out_proj.weight": state["out_proj.weight"].reshape(WIDTH, HEADS, 2)[:, order].reshape(WIDTH, WIDTH),
        "out_proj.bias": state["out_proj.bias"],
    }
    for name, array in merged.folded(other).items():
        np.testing.assert_allclose(array, merged.folded(state)[name][order], rtol=0, atol=1e-14)


class Tied(nn.Module):
    """Two attentions of one packed weight, one of which has two names, and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(2))
        self.second.in_proj_weight = self.first.in_proj_weight
        self.layers = nn.ModuleList([self.first])
        self.linear, self.norm = nn.Linear(WIDTH, 4), nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[0](x, x, x)[0]
        x = self.second(x, x, x)[0]
        return self.norm(self.linear(x.flatten(0, 1).view(-1, WIDTH)))


def test_networks_are_rewritten_one_after_the_other() -> None:
    module = Tied()
    state = numbers(module)
    norms = BatchNormFolded(original=Instance.of(module))
    merged = MergedAttention(original=norms)
    assert isinstance(norms, Rewritten) and isinstance(merged, Rewritten)
    found = merged.folded(norms.folded(state))
    assert not [name for name in found if "in_proj" in name or "out_proj" in name]
    x = draw(2, TOKENS, WIDTH)
    with torch.no_grad():
        wanted = module.double()(x)
    torch.testing.assert_close(filled(merged, found, torch.float64)(x), wanted, rtol=0, atol=1e-12)
