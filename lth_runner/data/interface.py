"""What a dataset is once it is loaded: four tensors on the device, no worker processes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images and labels, whole.

    Attributes:
        name: as in the configs.
        train_inputs: (N, C, H, W) float32; pixels/255, or normalised if the config says so.
        train_labels: (N,) int64.
        test_inputs: (M, C, H, W) float32.
        test_labels: (M,) int64.
    """

    name: str
    train_inputs: torch.Tensor
    train_labels: torch.Tensor
    test_inputs: torch.Tensor
    test_labels: torch.Tensor
    recipe: dict[str, Any] | None = None

    def to(self, device: str) -> "Dataset":
        """The same dataset on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name not in ("name", "recipe")}
        return Dataset(name=self.name, recipe=self.recipe, **moved)

    def fingerprint(self) -> str:
        """A hash of the contents: of every pixel and label, however they were made, on whatever device they are."""
        return _digest(self.train_inputs, self.train_labels, self.test_inputs, self.test_labels)

    def test_checksum(self) -> str:
        """A hash of the test inputs and labels alone: what a claimed accuracy was measured on."""
        return _digest(self.test_inputs, self.test_labels)


def _digest(*tensors: torch.Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        array = tensor.cpu().contiguous().numpy()
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.data)
    return digest.hexdigest()


@runtime_checkable
class DataSource(Protocol):
    """One way to a dataset. Implementations are frozen keyword-only dataclasses."""

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log.

        Raises:
            DataError: it cannot be found or fetched; the message lists what was tried.
        """
        ...
