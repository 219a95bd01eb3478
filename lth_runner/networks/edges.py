"""Layers of listed edges: what is left of a random layer whose neurons keep one input each."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The kept entries of a sparse (outputs, inputs) matrix, listed per output: at most E of them.

    Attributes:
        inputs: of the matrix.
        source: (E, outputs) int64, the input of the e-th edge of each output.
        weight: (E, outputs) float64; 0 where an output has fewer than E edges.
    """

    inputs: int
    source: np.ndarray
    weight: np.ndarray

    def used(self) -> np.ndarray:
        """The outputs that have an edge, ascending; the first one if none has, since torch has no empty layers."""
        used = np.flatnonzero(self.weight.any(axis=0))
        return used if used.size else np.zeros(1, np.int64)

    def of(self, outputs: np.ndarray) -> "Edges":
        """The edges of some outputs alone."""
        return Edges(inputs=self.inputs, source=self.source[:, outputs], weight=self.weight[:, outputs])


class EdgeLayer(torch.nn.Module):
    """y_o = sum_e weight[e, o] x[source[e, o]]: a linear layer, or a 1x1 convolution, of listed edges.

    Attributes:
        inputs: entries of x along the axis.
    """

    source: torch.Tensor
    weight: torch.Tensor

    def __init__(self, edges: Edges, dtype: torch.dtype, axis: int) -> None:
        """Args: axis: of the features of x: -1, or 1 where they are the channels of an image."""
        super().__init__()
        self.inputs, self.axis = edges.inputs, axis
        self.register_buffer("source", torch.from_numpy(edges.source))
        self.register_buffer("weight", torch.from_numpy(edges.weight).to(dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        along = (-1,) if self.axis == -1 else (-1, *[1] * (x.ndim - 2))
        edges = zip(self.source, self.weight, strict=True)
        parts = [x.index_select(self.axis, source) * weight.view(along) for source, weight in edges]
        return sum(parts[1:], parts[0])
