"""What a dataset is once it is loaded: four tensors on the device, no worker processes."""

from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images and labels, whole.

    Attributes:
        name: as in the configs.
        train_images: (N, C, H, W) float32; pixels/255, or normalised if the config says so.
        train_labels: (N,) int64.
        test_images: (M, C, H, W) float32.
        test_labels: (M,) int64.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor

    def to(self, device: str) -> "Dataset":
        """The same dataset on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "name"}
        return Dataset(name=self.name, **moved)
