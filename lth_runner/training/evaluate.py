"""Loss and accuracy of a network while it is trained."""

from collections.abc import Callable, Mapping

import torch
from torch.nn.functional import cross_entropy

from lth_runner.data.interface import Inputs, num_samples, select
from lth_runner.data.interface import split as blocks
from lth_runner.training.split import Part

BATCH = 2048  # samples per forward pass


@torch.no_grad()
def evaluated(outputs: Callable[[Inputs], torch.Tensor], parts: Mapping[str, Part]) -> dict[str, float]:
    """Mean cross-entropy and accuracy on every part: validation_loss, validation_accuracy, test_loss, ...

    Args:
        outputs: of a block of inputs, (B, classes), as the network gives them in evaluation mode.
        parts: by name.
    """
    found = {}
    for name, (inputs, truth) in parts.items():
        loss, right = torch.zeros((), device=truth.device), torch.zeros((), dtype=torch.int64, device=truth.device)
        for block, labels in zip(blocks(inputs, BATCH), truth.split(BATCH), strict=True):
            given = outputs(block)
            loss += cross_entropy(given, labels, reduction="sum")
            right += (given.argmax(dim=1) == labels).sum()
        found[f"{name}_loss"], found[f"{name}_accuracy"] = float(loss) / len(truth), int(right) / len(truth)
    return found


def first_batch(part: Part, size: int, order: torch.Tensor) -> Part:
    """The samples of a part at the first `size` places of an order."""
    chosen = order[: min(size, num_samples(part[0]))].to(part[1].device)
    return select(part[0], chosen), part[1][chosen]
