"""Accuracy on outputs that are known."""

import math

import pytest
import torch

from lth_runner.measure.accuracy import accuracy, chance_warning

OUTPUTS = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0], [1.0, 1.0]])  # classes 0, 1, 0 and, of two equal ones, 0
LABELS = torch.tensor([0, 1, 1, 0])


class ModeSeen(torch.nn.Module):
    """Hands its input on, and notes the mode it was called in."""

    called_in_training = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.called_in_training |= self.training
        return x


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
def test_it_is_the_fraction_of_right_answers_whatever_the_batch(batch: int) -> None:
    assert accuracy(torch.nn.Identity(), OUTPUTS, LABELS, batch) == 0.75


@pytest.mark.parametrize("training", [True, False])
def test_it_tests_in_evaluation_mode_and_restores_the_mode(training: bool) -> None:
    module = ModeSeen().train(training)
    accuracy(module, OUTPUTS, LABELS, 2)
    assert module.training is training
    assert not module.called_in_training


def test_only_what_guessing_would_give_is_warned_of() -> None:
    """10,000 images of 10 classes: one standard deviation of guessing is 0.3 %."""
    labels = torch.arange(10_000) % 10
    limit = 0.1 + 3 * math.sqrt(0.1 * 0.9 / 10_000)
    for accuracy_, warned in ((0.0, True), (0.102, True), (limit, True), (limit + 1e-4, False), (0.998, False)):
        assert (chance_warning(accuracy_, labels) is not None) == warned
    line = chance_warning(0.102, labels)
    assert line is not None
    for part in ("warning: ", "10.20 %", "10 classes", "target.names", "data.normalize", "dataset"):
        assert part in line
    assert chance_warning(1.0, torch.zeros(5, dtype=torch.int64)) is None, "of one class everybody is right"
