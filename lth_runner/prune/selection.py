"""Which weights a mask keeps: exact counts of the largest scores, in each layer or in all together."""

import math
from collections.abc import Mapping

import numpy as np

from lth_runner.core.errors import ConfigError

SCOPES = ("layer", "global")
Arrays = Mapping[str, np.ndarray]


def largest(scores: np.ndarray, kept: int) -> np.ndarray:
    """Bool (n,): True at the `kept` largest of the scores (n,), of equal ones at the lowest index.

    Scores may be negative or infinite.

    Raises:
        ConfigError: one is NaN.
    """
    if np.isnan(scores).any():
        raise ConfigError("a pruning score is NaN, so nothing can be ranked: the loss or its gradient overflowed")
    mask = np.zeros(scores.size, dtype=bool)
    mask[np.argsort(-scores, kind="stable")[:kept]] = True
    return mask


def masks(scores: Arrays, counts: Mapping[tuple[str, ...], int], before: Arrays | None = None) -> dict[str, np.ndarray]:
    """Keeps the largest scores of each group of weights.

    Args:
        scores: by name, each of its weight's shape.
        counts: how many are kept in each group of names that compete.
        before: masks; what they prune stays pruned.

    Returns:
        Bool arrays by name.

    Raises:
        ConfigError: a score is NaN.
    """
    found = {}
    for names, kept in counts.items():
        flat = np.concatenate([_flat(scores[name], None if before is None else before[name]) for name in names])
        chosen = largest(flat, kept)
        ends = np.cumsum([scores[name].size for name in names])[:-1]
        found |= {n: part.reshape(scores[n].shape) for n, part in zip(names, np.split(chosen, ends), strict=True)}
    return {name: found[name] for name in scores}


def counts(shapes: Mapping[str, tuple[int, ...]], density: float, scope: str) -> dict[tuple[str, ...], int]:
    """How many weights a density keeps in each group: round(density * size) of every layer, or of all together."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    if scope == "global":
        return {tuple(sizes): round(density * sum(sizes.values()))}
    return {(name,): round(density * size) for name, size in sizes.items()}


def density(masks: Arrays) -> float:
    """Kept / total of all masks together."""
    return sum(int(mask.sum()) for mask in masks.values()) / sum(mask.size for mask in masks.values())


def shuffled(mask: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """As many weights, at places chosen uniformly."""
    return chance.permutation(mask.reshape(-1)).reshape(mask.shape)


def _flat(scores: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    flat = scores.reshape(-1).astype(np.float64)
    return flat if before is None else np.where(before.reshape(-1), flat, -np.inf)
