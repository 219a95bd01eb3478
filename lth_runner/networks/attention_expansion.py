"""Random attentions whose heads have keys and values of any width: pruned, their products are those of a target."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError
from lth_runner.networks.attention import AttentionLayer, replaced_
from lth_runner.networks.edges import EdgeLayer
from lth_runner.networks.interface import Architecture, Expansion, Masked, fill_, skeleton
from lth_runner.networks.merged_attention import MergedSelfAttention, with_constant

PRODUCTS = {"query_key": ("query", "key"), "value_output": ("value", "out")}  # of which random tensors each is one


@dataclass(frozen=True, kw_only=True)
class AttentionExpansion:
    """Random projections U and V in place of every product of an attention, with keys and values n times as wide.

    Of d coordinates, and one more that is always 1 where there are biases, each has a block of n dimensions of its own
    in the keys, and another in the values, of every head. Scores are gain * (U_q [x_i; 1]) . (V_k^T x_j) times the
    target's own scale, 1 / the root of the width of *its* keys; outputs are gain * V_o of the averages of U_v [x_j; 1].
    Nothing stands between U and V, so that what they multiply with is their product, whatever the masks.

    Reference: Otsuka et al., AAAI 2026 (arXiv:2511.04217): query and key as the two layers that stand for one, value
    and output likewise.

    Attributes:
        rest: a `MergedAttention`, or a network that stands for one, whose attentions are replaced here.
        n: dimensions of a key, and of a value, for each coordinate.
        gains: by the name of every product ("attention.query_key"), a fixed positive number that multiplies it.
    """

    kind: ClassVar[str] = "attention_expansion"
    rest: Architecture
    n: int
    gains: dict[str, float]

    def __post_init__(self) -> None:
        checks.integer("n", self.n, at_least=1)
        names = [_join(path, name) for path in self.attentions for name in PRODUCTS]
        if not names or set(self.gains) != set(names):
            raise ConfigError(f"gains must name the products of the target's attentions {', '.join(names)}")
        for name, gain in self.gains.items():
            checks.positive(f"gains.{name}", gain)

    @property
    def target(self) -> Architecture:
        """The architecture it stands for, whose attentions are products."""
        return self.rest.target if isinstance(self.rest, Expansion) else self.rest

    @cached_property
    def attentions(self) -> dict[str, MergedSelfAttention]:
        """Those that are replaced, by path, without numbers."""
        parts = skeleton(self.rest).named_modules()
        return {path: part for path, part in parts if isinstance(part, MergedSelfAttention)}

    def takes_negatives(self) -> bool:
        """See `Expansion`; products take both signs as one."""
        return self.rest.takes_negatives() if isinstance(self.rest, Expansion) else True

    def random_names(self) -> list[tuple[str, str, str]]:
        """Of every product its name and those of the two random tensors, split and sum."""
        return [
            (_join(path, name), _join(path, f"{split}.weight"), _join(path, f"{total}.weight"))
            for path in self.attentions
            for name, (split, total) in PRODUCTS.items()
        ]

    def module(self) -> torch.nn.Module:
        """The whole random network, dense."""
        module = self.rest.module()
        for path in self.attentions:
            module = replaced_(module, path, self._random(path))
        return module

    def assembled(self, masked: Mapping[str, Masked], stored: Mapping[str, np.ndarray]) -> torch.nn.Module:
        """The pruned network: queries and values as lists of kept edges, the others as masked arrays."""
        if isinstance(self.rest, Expansion):
            module = self.rest.assembled(masked, stored)
        else:
            module = self.rest.module().double()
            fill_(module, stored)
        for path in self.attentions:
            with torch.device("meta"):
                random = self._random(path)
            for split, total in PRODUCTS.values():
                edges = masked[_join(path, f"{split}.weight")].edges()
                setattr(random, split, EdgeLayer(edges, torch.float64, -1))
                dense = masked[_join(path, f"{total}.weight")].dense(np.float64)
                getattr(random, total).weight = torch.nn.Parameter(torch.from_numpy(dense))
            module = replaced_(module, path, random)
        return module.requires_grad_(False).eval()

    def readings(self, assembled: torch.nn.Module) -> dict[str, np.ndarray]:
        """What the pruned network multiplies with: the products of its own projections, and what `rest` reads, float64.

        Returns:
            By the target's parameter names, (readings, *shape): one of every product.
        """
        found = self.rest.readings(assembled) if isinstance(self.rest, Expansion) else {}
        for path in self.attentions:
            random = assembled.get_submodule(path)
            assert isinstance(random, RandomAttention), "every attention was replaced by one"
            for name, parts in PRODUCTS.items():
                found[_join(path, name)] = self.gains[_join(path, name)] * _products(random, *parts)[None]
        return found

    def _random(self, path: str) -> "RandomAttention":
        return RandomAttention(self.attentions[path], self.n, *(self.gains[_join(path, name)] for name in PRODUCTS))


class RandomAttention(AttentionLayer):
    """One attention of `AttentionExpansion`. The weight of `key` is held as that of a layer back from the keys."""

    def __init__(self, target: MergedSelfAttention, n: int, score_gain: float, out_gain: float) -> None:
        super().__init__(target.heads, target.batch_first, score_gain * (target.scale or 1.0))
        heads, coordinates, width = target.value_output.shape
        self.constant, self.gain = target.constant, out_gain
        dimensions = heads * coordinates * n
        self.query = torch.nn.Linear(coordinates, dimensions, bias=False)
        self.key = torch.nn.Linear(dimensions, width, bias=False)
        self.value = torch.nn.Linear(coordinates, dimensions, bias=False)
        self.out = torch.nn.Linear(dimensions, width, bias=False)

    def projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        every = (
            self.query(with_constant(query, self.constant)),
            key @ self.key.weight,
            self.value(with_constant(value, self.constant)),
        )
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for part in every)
        return q, k, v

    def joined(self, mixed: torch.Tensor) -> torch.Tensor:
        return self.gain * self.out(mixed.transpose(-3, -2).flatten(-2))


def _products(random: RandomAttention, split: str, total: str) -> np.ndarray:
    """(heads, coordinates, width): first weights times second, summed over the dimensions of each head."""
    from scipy.sparse import csr_array

    edges = getattr(random, split)
    assert isinstance(edges, EdgeLayer), "the network is assembled"
    second = getattr(random, total).weight.detach().numpy()  # (width, heads * dimensions)
    dimension = np.broadcast_to(np.arange(second.shape[1]), edges.source.shape)
    places = (dimension.ravel(), edges.source.numpy().ravel())
    first = csr_array((edges.weight.numpy().ravel(), places), shape=(second.shape[1], edges.inputs))
    each = second.shape[1] // random.heads
    heads = [slice(start, start + each) for start in range(0, second.shape[1], each)]
    return np.stack([first[own].T @ second[:, own].T for own in heads])


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
