"""Which training images train, and which ones only measure."""

from dataclasses import dataclass

import torch

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset, Inputs, labels, num_samples, select

Part = tuple[Inputs, torch.Tensor]  # inputs (N, ...) and labels (N,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """A dataset with labels, divided.

    Attributes:
        train: what is trained on.
        measured: what only measures, by name: "validation", where images were held out, and "test".
    """

    train: Part
    measured: dict[str, Part]


def split(data: Dataset, validation: int, streams: Streams, purpose: str) -> Split:
    """Holds out `validation` training images, picked at random by the stream (purpose, "validation").

    Raises:
        ConfigError: there are no training images or no labels, or none would be left to train on.
    """
    if data.train_inputs is None:
        raise ConfigError(f"data {data.name} has no training part: choose a dataset that can be trained on")
    check_validation(data, validation)
    truth = labels(data.train_labels)
    order = torch.from_numpy(streams(purpose, "validation").permutation(len(truth))).to(truth.device)
    held_out, trained = order[:validation], order[validation:]
    measured = {"validation": (select(data.train_inputs, held_out), truth[held_out])} if validation else {}
    return Split(
        train=(select(data.train_inputs, trained), truth[trained]),
        measured={**measured, "test": (data.test_inputs, labels(data.test_labels))},
    )


def check_validation(data: Dataset, validation: int) -> None:
    """Refuses to hold out all training images, or more.

    Raises:
        ConfigError: it says how many there are.
    """
    count = 0 if data.train_inputs is None else num_samples(data.train_inputs)
    if validation >= count:
        raise ConfigError(f"method.validation={validation} leaves nothing of {count} training images: set it lower")
