"""What a trained weight is worth, from its value at the start and at the end: the criteria of Zhou et al. 2019.

Reference: arXiv:1905.01067, section 2, and its published code: the weights of the largest scores are kept. Where signs
must be preserved, a weight that changed its own has score 0.
"""

from collections.abc import Callable

import numpy as np

# Of the values at the start and at the end, equal shapes, and a generator: a score for each, the larger the better.
Criterion = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _same_sign(start: np.ndarray, end: np.ndarray, score: np.ndarray) -> np.ndarray:
    return np.where(np.sign(start) == np.sign(end), score, 0.0)


CRITERIA: dict[str, Criterion] = {
    "magnitude": lambda start, end, chance: np.abs(end),
    "magnitude_same_sign": lambda start, end, chance: _same_sign(start, end, np.abs(end)),
    "magnitude_increase": lambda start, end, chance: np.abs(end) - np.abs(start),
    "movement": lambda start, end, chance: np.abs(end - start),
    "magnitude_at_start": lambda start, end, chance: np.abs(start),
    "smallest": lambda start, end, chance: -np.abs(end),
    "random": lambda start, end, chance: chance.random(end.shape),
}
