"""How far masks are from each other, and from when on they agree: the early-bird rule (You et al. 2020)."""

import numpy as np


def distances(masks: np.ndarray) -> np.ndarray:
    """The normalised Hamming distance of every two of some masks: the share of units that one keeps and not the other.

    Args:
        masks: (T, U) bool.

    Returns:
        (T, T) float64, 0 on the diagonal.
    """
    kept = masks.astype(np.float64)
    both = kept @ kept.T
    sizes = np.diag(both)
    return (sizes[:, None] + sizes - 2 * both) / masks.shape[1]


def emergence(masks: np.ndarray, window: int, most: float) -> int | None:
    """The first mask that lies within `most` of each of the `window` - 1 before it; None where none does.

    Args:
        masks: (T, U) bool, in the order of the training.
    """
    apart = distances(masks)
    for last in range(window - 1, len(masks)):
        if (apart[last, last - window + 1 : last] <= most).all():
            return last
    return None
