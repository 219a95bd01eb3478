"""A random attention pruned to a target's: its forward pass, its products and the certified sums are the same thing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_choice import DOUBLED
from recorders import Memory
from torch import nn

import lth_runner as lth
from lth_runner.construct.attention import Attention
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.attention_expansion import PRODUCTS, AttentionExpansion
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import filled, tensors_of
from lth_runner.networks.merged_attention import MergedAttention
from lth_runner.problem import Problem
from lth_runner.ticket.file import save_ticket
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import approximated_by, materialise
from lth_runner.ticket.ticket import Ticket

WIDTH, TOKENS = 4, 5


class Alone(nn.Module):
    """Attention of tokens to each other, and nothing else."""

    def __init__(self, heads: int = 2, bias: bool = True) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, heads, bias=bias, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Block(Alone):
    """The same with a layer norm and a linear layer behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(x + super().forward(x)))


def method(**changes: Any) -> Attention:
    settings: dict[str, Any] = DOUBLED | {"n": 6} | changes
    return Attention(**settings)


def problem(module: nn.Module, size: float = 0.5, seed: int = 0) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(size * torch.randn(tensor.shape, generator=generator))
    target = {name: tensor.detach().double().numpy() for name, tensor in tensors_of(module.eval()).items()}
    return Problem(network=Instance.of(module), target=target, data=None, streams=Streams(seed), device="cpu")


def tokens() -> torch.Tensor:
    return torch.randn(3, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def products_of(posed: Problem) -> Mapping[str, np.ndarray]:
    network, target = posed.need("network", "target")
    return MergedAttention(original=network).folded(target)


def dense(ticket: Ticket) -> dict[str, np.ndarray]:
    """The masked random tensors, whole."""
    return {name: ticket.random[name].draw(ticket.seed) * mask.dense() for name, mask in ticket.masks.items()}


def check_forward(ticket: Ticket) -> None:
    """The pruned network computes what the masked matrices do, and what attention with the products read does."""
    network, x = materialise(ticket), tokens()
    output = network.module(torch.float64)(x)
    whole = filled(ticket.architecture, dense(ticket), torch.float64)(x)
    torch.testing.assert_close(output, whole, rtol=0, atol=1e-12)
    assert isinstance(ticket.architecture, AttentionExpansion)
    products = {name: reading[0] for name, reading in network.readings.items()}
    rewritten = filled(ticket.architecture.target, products, torch.float64)(x)
    torch.testing.assert_close(output, rewritten, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("heads", [1, 2])
def test_every_entry_has_the_best_of_all_its_subsets(heads: int, bias: bool) -> None:
    """By enumeration; and the product of the masked matrices is what is read, and what computes."""
    posed, n = problem(Alone(heads, bias)), 4
    ticket = method(n=n, gains="none").find(posed, Memory()).ticket
    readings, wanted, coordinates = materialise(ticket).readings, products_of(posed), WIDTH + bias
    subsets = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    for name, (split, total) in PRODUCTS.items():
        first, second = (ticket.random[f"attention.{part}.weight"].draw(0) for part in (split, total))
        first = first.reshape(heads, coordinates, n, coordinates)
        own = np.einsum("hini->hin", first)  # dimension c of block i: its weight of coordinate i
        sums = np.einsum("hin,jhin,sn->hijs", own, second.reshape(WIDTH, heads, coordinates, n), subsets)
        best = np.abs(sums - wanted[f"attention.{name}"][..., None]).min(axis=-1)
        (found,) = readings[f"attention.{name}"]
        np.testing.assert_allclose(np.abs(found - wanted[f"attention.{name}"]), best, rtol=0, atol=1e-14)
        kept = dense(ticket)
        u, v = kept[f"attention.{split}.weight"], kept[f"attention.{total}.weight"]
        u, v = u.reshape(heads, -1, coordinates), v.reshape(WIDTH, heads, -1)
        np.testing.assert_allclose(found, np.einsum("hci,jhc->hij", u, v), rtol=0, atol=1e-14)
    check_forward(ticket)


def test_a_target_that_the_random_attention_contains_is_found() -> None:
    """W_q and W_v are 1, W_k and W_o sums of some of the very products, so that nothing is left of the error."""
    posed, n, rng = problem(Alone(1, bias=False)), 5, np.random.default_rng(0)
    drawn = method(n=n, gains="none").find(posed, Memory()).ticket.random
    made = []
    for split, total in PRODUCTS.values():
        first, second = (drawn[f"attention.{part}.weight"].draw(0) for part in (split, total))
        own = first[np.arange(WIDTH * n), np.arange(WIDTH * n) // n]
        kept = rng.random(second.shape) < 0.5
        made.append((kept * second * own).reshape(WIDTH, WIDTH, n).sum(-1))  # (j, i)
    key, out = made
    identity = np.eye(WIDTH)
    target = {"attention.in_proj_weight": np.concatenate((identity, key.T, identity)), "attention.out_proj.weight": out}
    posed = replace(posed, target=target)
    ticket = method(n=n, gains="none").find(posed, Memory()).ticket
    for name, product in products_of(posed).items():
        np.testing.assert_allclose(materialise(ticket).readings[name][0], product, rtol=0, atol=1e-14)


def test_with_enough_products_the_network_computes_its_target() -> None:
    posed = problem(Block(), size=0.3)
    network, target = posed.need("network", "target")
    ticket = method(n=30).find(posed, Memory()).ticket
    x = tokens()
    output, wanted = materialise(ticket).module(torch.float64)(x), filled(network, target, torch.float64)(x)
    assert float((output - wanted).abs().max()) < 1e-3
    wanted = approximated_by(ticket, target)
    errors = [np.abs(readings - wanted[name]).max() for name, readings in materialise(ticket).readings.items()]
    assert max(errors) < 1e-3 and len(errors) == 4, "two products, a weight and a bias"
    assert set(ticket.weights) - set(ticket.random) == {"norm.weight", "norm.bias"}


def test_what_is_stored_is_not_approximated_and_counts_agree() -> None:
    posed = problem(Block())
    network, target = posed.need("network", "target")
    whole, alone = method(), method(stored=["linear.*"])
    ticket, other = (made.find(posed, Memory()).ticket for made in (whole, alone))
    assert (ticket.drawn(), other.drawn()) == (whole.offered(network), alone.offered(network))
    kept = materialise(other).module(torch.float64).get_parameter("linear.weight")
    np.testing.assert_array_equal(kept, target["linear.weight"])
    for name in ("attention.key.weight", "attention.out.weight"):
        np.testing.assert_array_equal(ticket.masks[name].bits, other.masks[name].bits)
    with pytest.raises(ConfigError, match="stored names head"):
        method(stored=["head.*"]).check(network, None)


def test_gains_bring_large_entries_within_reach() -> None:
    posed = problem(Alone(), size=3.0)
    fitted, plain = (method(n=14, gains=gains).find(posed, Memory()).ticket for gains in ("fitted", "none"))
    assert fitted.facts["gain/attention.query_key"] > 2 and not [name for name in plain.facts if "gain" in name]
    for name, product in products_of(posed).items():
        near, far = (float(np.abs(materialise(t).readings[name][0] - product).max()) for t in (fitted, plain))
        assert near < far
    check_forward(fitted)


def test_no_sum_uses_more_products_than_allowed() -> None:
    ticket = method(n=8, max_paths=3).find(problem(Alone()), Memory()).ticket
    kept = ticket.masks["attention.key.weight"].dense().reshape(WIDTH, 2, WIDTH + 1, 8)
    assert kept[..., :3].any() and not kept[..., 3:].any()
    assert ticket.masks["attention.query.weight"].kept() == 2 * (WIDTH + 1) * 3


@pytest.mark.parametrize("part", ["query", "key", "value", "out"])
def test_a_mask_that_was_moved_is_refused(tmp_path: Path, part: str) -> None:
    posed = problem(Alone())
    found = lth.find(method(), Alone(), target=posed.target, progress=False)
    ticket, path, name = found.ticket.ticket, tmp_path / "ticket.safetensors", f"attention.{part}.weight"
    found.ticket.save(path)
    assert lth.verify(path, target=posed.target, module=Alone())
    moved = np.roll(ticket.masks[name].dense(), 1, axis=0)
    save_ticket(replace(ticket, masks={**ticket.masks, name: Mask.pack(moved)}), path)
    assert not lth.verify(path, target=posed.target, module=Alone())


def test_what_it_is_not_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no torch\.nn\.MultiheadAttention"):
        method().check(FullyConnected(inputs=3, hidden=4, outputs=2, depth=2, biases=True), None)
    with pytest.raises(ConfigError, match="products of one sign only"):
        method(distribution=Uniform(low=0.0, high=1.0)).find(problem(Alone()), Memory())
    with pytest.raises(ConfigError, match="gains must be one of"):
        method(gains="matched")
    merged = MergedAttention(original=Instance.of(Alone()))
    with pytest.raises(ConfigError, match="gains must name the products"):
        AttentionExpansion(rest=merged, n=3, gains={"attention.query_key": 1.0})
