"""Training images moved and mirrored at random, a batch at a time; chance comes from the generator that is given."""

from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class FlipAndCrop:
    """Horizontal flips, and crops of the image's own size out of the image with zeros around it.

    Zeros are put around what the network sees: with normalised images they are the mean colour, not black. Equal
    generators give equal images, on any device; `pad` does not change which images are flipped.

    Attributes:
        pad: pixels of zeros on each side; the crop starts at 0 to 2 `pad`, evenly, in either direction.
        flip: whether each image is mirrored left to right with probability 1/2.
    """

    pad: int
    flip: bool

    def __post_init__(self) -> None:
        checks.integer("augment.pad", self.pad, at_least=0)
        checks.boolean("augment.flip", self.flip)

    def __call__(self, images: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
        """New images of the same shape, (N, C, H, W).

        Raises:
            ConfigError: these are no images.
        """
        if images.ndim != 4:
            raise ConfigError(f"augment takes images (N, C, H, W), got {tuple(images.shape)}: set augment to null")
        flips = generator.integers(2, size=len(images)).astype(bool) & self.flip
        starts = generator.integers(2 * self.pad + 1, size=(2, len(images)))
        return crop(images, torch.from_numpy(starts), torch.from_numpy(flips), self.pad)


def crop(images: torch.Tensor, starts: torch.Tensor, flips: torch.Tensor, pad: int) -> torch.Tensor:
    """Crops of the image's own size, some of them mirrored afterwards.

    Args:
        images: (N, C, H, W).
        starts: (2, N): first row and first column of each crop in the padded image, 0 to 2 `pad`.
        flips: (N,): which crops are mirrored left to right.
        pad: pixels of zeros on each side.
    """
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (pad, pad, pad, pad))
    starts, flips = starts.to(images.device)[:, :, None], flips.to(images.device)[:, None]
    column = torch.arange(width, device=images.device)
    rows = starts[0] + torch.arange(height, device=images.device)  # (N, H)
    columns = starts[1] + torch.where(flips, column.flip(0), column)  # (N, W)
    samples = torch.arange(count, device=images.device)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
