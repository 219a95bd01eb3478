"""Accuracy on outputs that are known."""

import pytest
import torch

from lth_runner.measure.accuracy import accuracy

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
