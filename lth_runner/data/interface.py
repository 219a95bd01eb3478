"""What a dataset is once it is loaded: tensors on the device, whole, and no worker processes."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch

from lth_runner.core.errors import ConfigError, DataError

# One tensor, or named ones that a module takes as keywords; the first axis counts the samples, in all of them.
Inputs = torch.Tensor | dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Inputs and labels, whole.

    Attributes:
        name: as in the configs.
        train_inputs: (N, ...), for images (N, C, H, W) float32: pixels/255, or normalised if the config says so; None
            where there is nothing to train on.
        train_labels: (N,) int64; None where there are none.
        test_inputs: (M, ...), as the training inputs.
        test_labels: (M,) int64; None where there are none.
        mask: which of the named inputs marks real positions, (N, T), nonzero where a position is real; None where all
            are.
        recipe: plain settings that load the dataset again; None where nobody has noted them.

    Raises:
        DataError: a part is empty, its tensors differ in their number of samples, or the mask is not among them.
    """

    name: str
    train_inputs: Inputs | None
    train_labels: torch.Tensor | None
    test_inputs: Inputs
    test_labels: torch.Tensor | None
    mask: str | None = None
    recipe: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.train_inputs is not None:
            _check_part(f"data {self.name}: the training part", self.train_inputs, self.train_labels, self.mask)
        elif self.train_labels is not None:
            raise DataError(f"data {self.name}: there are training labels without training inputs: give both or none")
        _check_part(f"data {self.name}: the test part", self.test_inputs, self.test_labels, self.mask)

    def to(self, device: str) -> "Dataset":
        """The same dataset on another device."""
        return replace(
            self,
            train_inputs=None if self.train_inputs is None else moved(self.train_inputs, device),
            train_labels=None if self.train_labels is None else self.train_labels.to(device),
            test_inputs=moved(self.test_inputs, device),
            test_labels=None if self.test_labels is None else self.test_labels.to(device),
        )

    def fingerprint(self) -> str:
        """A hash of the contents: of every input and label, however they were made, on whatever device they are."""
        digest = hashlib.sha256()
        for part in (self.train_inputs, self.train_labels, self.test_inputs, self.test_labels):
            _hash(digest, part)
        if self.mask is not None:
            digest.update(f"mask {self.mask}".encode())
        return digest.hexdigest()

    def test_checksum(self) -> str:
        """A hash of the test inputs and test labels alone: what a measured accuracy depends on."""
        digest = hashlib.sha256()
        _hash(digest, self.test_inputs)
        _hash(digest, self.test_labels)
        return digest.hexdigest()

    def never_negative(self) -> bool:
        """Whether no input of either part is negative."""
        return all(never_negative(part) for part in (self.train_inputs, self.test_inputs) if part is not None)


def from_tensors(
    train_inputs: Inputs, train_labels: torch.Tensor, test_inputs: Inputs, test_labels: torch.Tensor
) -> Dataset:
    """A dataset of tensors at hand, which nothing but they themselves can load again."""
    return Dataset(
        name="tensors",
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
    )


def num_samples(inputs: Inputs) -> int:
    """The length of the first axis."""
    return len(inputs) if isinstance(inputs, torch.Tensor) else len(next(iter(inputs.values())))


def select(inputs: Inputs, index: torch.Tensor | slice) -> Inputs:
    """The samples that `index` names, along the first axis, of every tensor."""
    if isinstance(inputs, torch.Tensor):
        return inputs[index]
    return {name: tensor[index] for name, tensor in inputs.items()}


def split(inputs: Inputs, batch: int) -> Iterator[Inputs]:
    """Blocks of at most `batch` samples, in order."""
    for start in range(0, num_samples(inputs), batch):
        yield select(inputs, slice(start, start + batch))


def moved(inputs: Inputs, where: str | torch.device | torch.dtype) -> Inputs:
    """The inputs on another device, or of another dtype: only floating tensors take that, indices and masks do not."""
    if isinstance(inputs, dict):
        return {name: _moved(tensor, where) for name, tensor in inputs.items()}
    return _moved(inputs, where)


def never_negative(inputs: Inputs) -> bool:
    """Whether every entry of every tensor is 0 or more; NaN is not."""
    return all(bool((tensor >= 0).all()) for _, tensor in named(inputs))


def named(inputs: Inputs) -> list[tuple[str, torch.Tensor]]:
    """The tensors by name, in the order of the names; a single one has the name ""."""
    return [("", inputs)] if isinstance(inputs, torch.Tensor) else sorted(inputs.items())


def images(inputs: Inputs | None) -> torch.Tensor:
    """The inputs of a step that takes one tensor of images.

    Raises:
        ConfigError: there are none, or they are named tensors.
    """
    if inputs is None:
        raise ConfigError("this step needs training inputs and the data has none: set data.calibration=FILE")
    if isinstance(inputs, dict):
        names = ", ".join(sorted(inputs))
        raise ConfigError(f"this step takes one tensor of images and the data has {names} by name: take data=arrays")
    return inputs


def labels(found: torch.Tensor | None) -> torch.Tensor:
    """The labels of a step that needs them.

    Raises:
        ConfigError: there are none.
    """
    if found is None:
        raise ConfigError("this step needs labels and the data has none: add a tensor named labels to its file")
    return found


def _moved(tensor: torch.Tensor, where: str | torch.device | torch.dtype) -> torch.Tensor:
    return tensor if isinstance(where, torch.dtype) and not tensor.is_floating_point() else tensor.to(where)


def _hash(digest: Any, part: Inputs | None) -> None:
    """Adds names, shapes, types and bytes; of a single tensor no name, so that old digests of images stay valid."""
    if part is None:
        digest.update(b"none ")
        return
    for name, tensor in named(part):
        if isinstance(part, dict):
            digest.update(f"{len(part)} named {name!r} ".encode())
        digest.update(f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)


def _check_part(where: str, inputs: Inputs, labels: torch.Tensor | None, mask: str | None) -> None:
    tensors = [(f"tensor {name}" if name else "inputs", tensor) for name, tensor in named(inputs)]
    if labels is not None:
        if labels.ndim != 1 or labels.dtype != torch.int64:
            kind = str(labels.dtype).removeprefix("torch.")
            raise DataError(
                f"{where} has labels of shape {tuple(labels.shape)} and type {kind}: give one whole number (int64) for "
                "each sample, or no labels"
            )
        tensors += [("labels", labels)]
    counts = {name: len(tensor) if tensor.ndim else 0 for name, tensor in tensors}
    if not named(inputs) or not min(counts.values()):
        raise DataError(f"{where} is empty: give at least one sample")
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise DataError(f"{where} has tensors with different numbers of samples ({found}): make their first axes equal")
    if mask is not None and (isinstance(inputs, torch.Tensor) or mask not in inputs):
        there = "one tensor without a name" if isinstance(inputs, torch.Tensor) else ", ".join(sorted(inputs))
        raise DataError(f"{where} has no mask {mask}, it has {there}: set data.mask to one of its names, or to null")


@runtime_checkable
class DataSource(Protocol):
    """One way to a dataset. Implementations are frozen keyword-only dataclasses."""

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log.

        Raises:
            DataError: it cannot be found or fetched; the message lists what was tried.
        """
        ...
