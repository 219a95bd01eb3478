"""Whatever a network takes: tensors by name, passed to its module as keywords, as a language model wants them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.data.interface import Dataset
from lth_runner.data.tensors import class_labels, read_tensors

LABELS = "labels"


@dataclass(frozen=True, kw_only=True)
class NamedInputs:
    """The tensors of a .safetensors or .npz file, each passed to the module under its own name.

    A tensor named labels, (N,) integers, is kept apart. Floating tensors become float32; others stay as they are.

    Attributes:
        path: of the file with the test part.
        calibration: of a file with tensors of the same names, the training part; null for none.
        mask: the tensor that marks real positions, as attention_mask: (N, T), nonzero where a position is real; null
            where all are.
    """

    path: str
    calibration: str | None
    mask: str | None

    def __post_init__(self) -> None:
        checks.file("data.path", self.path)
        if self.mask == LABELS:
            raise ConfigError("data.mask must name an input, and labels is none: set it to attention_mask or to null")

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log.

        Raises:
            DataError: a file cannot be read, or its tensors do not fit together.
        """
        test_inputs, test_labels = self._part(self.path, "data.path", say)
        train_inputs, train_labels = None, None
        if self.calibration is not None:
            train_inputs, train_labels = self._part(self.calibration, "data.calibration", say)
            if set(train_inputs) != set(test_inputs):
                raise DataError(
                    f"{self.calibration} holds {', '.join(sorted(train_inputs))} and {self.path} holds "
                    f"{', '.join(sorted(test_inputs))}: give both files the same names"
                )
        return Dataset(
            name="inputs",
            train_inputs=train_inputs,
            train_labels=train_labels,
            test_inputs=test_inputs,
            test_labels=test_labels,
            mask=self.mask,
        )

    def _part(
        self, path: str, setting: str, say: Callable[[str], None]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        file, tensors = read_tensors(path, setting)
        inputs = {name: _as_float32(tensor) for name, tensor in sorted(tensors.items()) if name != LABELS}
        if not inputs:
            raise DataError(f"{file} holds labels alone: add the tensors that the module takes, under their names")
        counts = {name: len(tensor) for name, tensor in inputs.items()}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise DataError(f"{file} has tensors with different numbers of samples ({found}): make them equal")
        count = next(iter(counts.values()))
        labels = class_labels(tensors[LABELS], count, file, LABELS) if LABELS in tensors else None
        if self.mask is not None:
            _check_mask(inputs, self.mask, file)
        say(f"{file}: {count} samples of {', '.join(inputs)}" + ("" if labels is not None else ", without labels"))
        return inputs, labels


def _check_mask(inputs: dict[str, torch.Tensor], mask: str, file: Path) -> None:
    if mask not in inputs:
        raise DataError(
            f"{file} has no mask {mask}, it has {', '.join(inputs)}: set data.mask to one of them, or to null"
        )
    marks = inputs[mask]
    if marks.ndim != 2 or not bool(((marks == 0) | (marks == 1)).all()):
        raise DataError(
            f"{file}: the mask {mask} must be zeros and ones of shape (N, T): correct it, or set data.mask=null"
        )
    empty = (marks != 0).sum(1).eq(0).nonzero()
    if len(empty):
        raise DataError(f"{file}: the mask {mask} leaves nothing of sample {int(empty[0])} (from 0): drop such samples")


def _as_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor
