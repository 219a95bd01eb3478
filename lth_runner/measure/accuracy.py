"""How often a network is right, and whether that is more than chance."""

import math

import torch

from lth_runner.data.interface import Inputs, split


@torch.inference_mode()
def accuracy(module: torch.nn.Module, inputs: Inputs, labels: torch.Tensor, batch: int) -> float:
    """Fraction in [0, 1] of the samples whose largest output is that of their label; of equal outputs the first counts.

    The module is put into evaluation mode for this and back into the mode it was in.
    """
    was_training = module.training
    module.eval()
    right = torch.zeros((), dtype=torch.int64, device=labels.device)
    for block, truth in zip(split(inputs, batch), labels.split(batch), strict=True):
        right += (module(block).argmax(dim=1) == truth).sum()
    module.train(was_training)
    return int(right) / len(labels)


def chance_warning(accuracy: float, labels: torch.Tensor) -> str | None:
    """A line of warning where an accuracy is that of guessing; None where it is better.

    Guessing is right for 1 of C classes, give or take sqrt(p (1 - p) / N) with p = 1/C: three of these more still count
    as chance, and so does all that is worse.

    Args:
        accuracy: a target's, on the images of these labels, fraction.
        labels: (N,) int64; as many classes as there are different ones.
    """
    classes, count = len(labels.unique()), len(labels)
    if classes < 2:
        return None
    p = 1 / classes
    if accuracy > p + 3 * math.sqrt(p * (1 - p) / count):
        return None
    return (
        f"warning: the target's accuracy, {100 * accuracy:.2f} %, is that of chance ({classes} classes): its layers "
        "may be in another order (target.names), its images normalised otherwise (data.normalize), its dataset another "
        "one, or nobody has trained it"
    )
