"""Small images made from streams: a learnable dataset without a download, for tests and the smoke experiment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """One random prototype per class; an image is its prototype plus Gaussian noise, clipped to [0, 1].

    Attributes:
        train_count: training images.
        test_count: test images.
        side: height and width in pixels.
        classes: number of classes, drawn evenly at random.
        seed: of prototypes, labels and noise; the dataset's own, so that runs with other seeds see the same data.
        noise: standard deviation per pixel.
    """

    train_count: int
    test_count: int
    side: int
    classes: int
    seed: int
    noise: float

    def __post_init__(self) -> None:
        for name in ("train_count", "test_count", "side", "classes"):
            checks.integer(f"data.{name}", getattr(self, name), at_least=1)
        checks.integer("data.seed", self.seed, at_least=0)
        checks.not_negative("data.noise", self.noise)

    def load(self, say: Callable[[str], None]) -> Dataset:
        """The whole dataset on the CPU; `say` takes a line of log."""
        say(f"synthetic: {self.train_count} + {self.test_count} images of {self.side} x {self.side}, seed {self.seed}")
        train_inputs, train_labels = self._part("train", self.train_count)
        test_inputs, test_labels = self._part("test", self.test_count)
        return Dataset(
            name="synthetic",
            train_inputs=train_inputs,
            train_labels=train_labels,
            test_inputs=test_inputs,
            test_labels=test_labels,
        )

    def _part(self, part: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        streams = Streams(self.seed)
        prototypes = streams("data", "prototypes").random((self.classes, 1, self.side, self.side))
        labels = streams("data", part, "labels").integers(self.classes, size=count)
        noise = streams("data", part, "noise").normal(0, self.noise, (count, 1, self.side, self.side))
        images = np.clip(prototypes[labels] + noise, 0, 1).astype(np.float32)
        return torch.from_numpy(images), torch.from_numpy(labels)
