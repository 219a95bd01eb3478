"""Flips and crops: each image on its own against slices, and what chance may and may not do."""

from typing import Any

import numpy as np
import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.training.augment import FlipAndCrop, crop

IMAGES = torch.arange(1.0, 1 + 50 * 3 * 6 * 5).reshape(50, 3, 6, 5)  # no pixel is 0, no two are equal


def drawn(augment: FlipAndCrop, seed: int = 0, images: torch.Tensor = IMAGES) -> torch.Tensor:
    return augment(images, Streams(seed)("augment", "0"))


@pytest.mark.parametrize("pad", [0, 1, 4])
def test_every_crop_is_that_slice_of_the_padded_image(pad: int) -> None:
    random = np.random.default_rng(1)
    starts, flips = random.integers(2 * pad + 1, size=(2, 50)), random.integers(2, size=50).astype(bool)
    found = crop(IMAGES, torch.from_numpy(starts), torch.from_numpy(flips), pad)
    padded = np.pad(IMAGES.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for n, (top, left, flip) in enumerate(zip(*starts, flips, strict=True)):
        expected = padded[n, :, top : top + 6, left : left + 5]
        np.testing.assert_array_equal(found[n], expected[:, :, ::-1] if flip else expected)


def test_nothing_to_do_is_the_identity() -> None:
    before = IMAGES.clone()
    assert torch.equal(drawn(FlipAndCrop(pad=0, flip=False)), IMAGES)
    drawn(FlipAndCrop(pad=2, flip=True))
    assert torch.equal(IMAGES, before)


def test_equal_generators_give_equal_images_and_others_others() -> None:
    augment = FlipAndCrop(pad=2, flip=True)
    assert torch.equal(drawn(augment), drawn(augment))
    assert not torch.equal(drawn(augment), drawn(augment, seed=1))
    assert drawn(augment, images=IMAGES.double()).dtype == torch.float64


def test_flips_come_about_half_the_time_and_whatever_the_padding() -> None:
    images = IMAGES.repeat(40, 1, 1, 1)
    found = drawn(FlipAndCrop(pad=0, flip=True), images=images)
    flipped = (found == images.flip(3)).all(dim=(1, 2, 3))
    assert torch.equal(found[~flipped], images[~flipped])
    assert 850 < int(flipped.sum()) < 1150  # of 2,000: 6.7 standard deviations, missed with probability 2e-11
    padded = drawn(FlipAndCrop(pad=1, flip=True), images=torch.nn.functional.pad(images, (3, 3, 3, 3)))
    rises = (padded.diff(dim=3) * (padded[..., 1:] > 0) * (padded[..., :-1] > 0)).sum((1, 2, 3)) > 0
    assert torch.equal(~rises, flipped)


def test_all_starts_occur() -> None:
    one = torch.ones(1500, 1, 1, 1)
    found = drawn(FlipAndCrop(pad=1, flip=False), images=one).mean()
    assert 0.05 < float(found) < 0.18  # one start of nine shows the pixel: 7.5 standard deviations either side


@pytest.mark.parametrize("wrong", [{"pad": -1}, {"pad": 1.5}, {"flip": 1}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"augment.{next(iter(wrong))}"):
        FlipAndCrop(**{"pad": 1, "flip": True, **wrong})


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes images \(N, C, H, W\), got \(50, 90\): set augment to null"):
        drawn(FlipAndCrop(pad=1, flip=True), images=IMAGES.flatten(1))
