"""How often a network is right."""

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
