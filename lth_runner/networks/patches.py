"""What a convolution multiplies its kernel with: the patches of its input, as rows."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch.nn.functional import pad, unfold


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The settings of a convolution without its weights, as `torch.nn.Conv2d` names them."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str

    @classmethod
    def of(cls, part: Any) -> Self:
        """Those of a layer."""
        return cls(
            kernel_size=part.kernel_size,
            stride=part.stride,
            padding=part.padding,
            dilation=part.dilation,
            groups=part.groups,
            padding_mode=part.padding_mode,
        )


def patches(part: Any, x: torch.Tensor) -> torch.Tensor:
    """The patches of x (N, channels, height, width), or of one image, for a `Geometry` or a `torch.nn.Conv2d`.

    Returns:
        (N, groups, places, d): the entries in the order of the flattened kernel of one output.
    """
    padded = pad(x if x.ndim == 4 else x[None], _padding(part), mode=_mode(part))
    columns = unfold(padded, part.kernel_size, part.dilation, 0, part.stride)  # (N, groups * d, places)
    return columns.unflatten(1, (part.groups, -1)).mT


def places(part: Any, height: int, width: int) -> tuple[int, int]:
    """Height and width of what the convolution makes of an image."""
    left, right, top, bottom = _padding(part)
    sizes = zip(
        (height + top + bottom, width + left + right), part.kernel_size, part.dilation, part.stride, strict=True
    )
    down, across = ((size - dilation * (side - 1) - 1) // step + 1 for size, side, dilation, step in sizes)
    return down, across


def _padding(part: Any) -> list[int]:
    """What is added on the left, right, top and bottom of an image."""
    if part.padding == "valid":
        return [0, 0, 0, 0]
    if part.padding == "same":
        totals = [d * (k - 1) for d, k in zip(part.dilation, part.kernel_size, strict=True)]
        return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
    return [side for size in reversed(part.padding) for side in (size, size)]


def _mode(part: Any) -> str:
    return "constant" if part.padding_mode == "zeros" else part.padding_mode
