"""Where the numbers of a tensor come from."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_runner.core.streams import Streams


@dataclass(frozen=True, kw_only=True)
class RandomTensor:
    """How one tensor of the random network is drawn: entry i (C order) is distribution.quantile(u_i).

    Attributes:
        shape: of the tensor.
        distribution: frozen dataclass with `quantile`, already fitted.
        path: of the stream whose i-th uniform number is u_i.
    """

    shape: tuple[int, ...]
    distribution: Any
    path: tuple[str, ...]

    def draw(self, seed: int, start: int = 0, count: int | None = None) -> np.ndarray:
        """Entries `start` to `start + count` in C order, float64; the whole tensor in its shape by default."""
        if count is None:
            return self.draw(seed, 0, int(np.prod(self.shape))).reshape(self.shape)
        return self.distribution.quantile(Streams(seed).uniform(self.path, start, count))
